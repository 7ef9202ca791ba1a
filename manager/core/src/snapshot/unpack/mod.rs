//! Unpacking a layer's archive into a directory that overlay can stack on others.
//!
//! Nothing of a layer is trusted. Each path is resolved one component at a time by descriptor, in
//! [`tree`], so that no link, `..` or absolute path leads out of the layer's directory; the kernel
//! is only ever given a name in a directory that we hold open. A layer is unpacked by itself: what
//! it leaves out is looked up in the layers below, in [`super::lowers`], and never changed there.

mod apply;
mod copy_up;
pub(crate) mod file;
pub(crate) mod metadata;
mod step;
mod tree;
pub(crate) mod whiteout;

#[cfg(test)]
mod tests;

use std::io::BufRead;
use std::os::fd::OwnedFd;

use super::Limits;
use super::lookup::Lookup;
use super::marks::Marks;
use crate::error::Result;
use crate::image::archive::Archive;

use tree::Tree;

/// Unpacks `archive` into the empty directory `root`, over the layers `lowers`, with `marks` of what
/// is gone. Returns the bytes of the files in it. Nothing is synced to disk.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an archive that is no layer, [`crate::Kind::Exhausted`] for a full
/// disk; the directory is then half filled.
pub(crate) fn unpack(
    archive: &mut dyn BufRead,
    root: OwnedFd,
    lowers: &dyn Lookup,
    marks: Marks,
    limits: &Limits,
) -> Result<u64> {
    fill(archive, Tree::new(root, lowers, marks, limits), limits)
}

/// Unpacks `archive` over the files that are in the directory `root`: what it has replaces what is in
/// its place, but for directories, which are merged. The directory itself gets nothing of it. All belongs
/// to `owner`, if there is one. Returns the bytes of the files in it.
///
/// # Errors
/// As [`unpack`].
pub(crate) fn unpack_over(
    archive: &mut dyn BufRead,
    root: OwnedFd,
    owner: Option<(u32, u32)>,
    limits: &Limits,
) -> Result<u64> {
    fill(archive, Tree::over(root, owner, limits), limits)
}

fn fill(archive: &mut dyn BufRead, mut tree: Tree<'_>, limits: &Limits) -> Result<u64> {
    let mut archive = Archive::new(archive);
    let (mut size, mut count) = (0_u64, 0);
    while let Some(entry) = archive.next()? {
        count += 1;
        limits.check_member(count, &entry.path)?;
        let shown = String::from_utf8_lossy(&entry.path).into_owned();
        let bytes = tree
            .apply(entry, &mut archive)
            .map_err(|error| error.while_doing(format_args!("unpack {shown:?}")))?;
        size = size.saturating_add(bytes);
    }
    archive.drain()?;
    size = size.saturating_add(tree.copied_bytes);
    tree.finish()?;
    Ok(size)
}
