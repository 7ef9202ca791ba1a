//! Packing a directory tree into an archive, by descriptor only, while others may change the tree.
//!
//! What is met is looked at through a handle that opens nothing, and only a regular file or a
//! directory is opened then, through that very handle: a name that has come to mean a device, a
//! pipe or a link meanwhile does no harm. What has vanished is left out.

mod file;
mod marks;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::fs::Stat;

use crate::error::Result;
use crate::image::archive::Writer;

/// What the tree is.
pub(crate) enum Tree<'a> {
    /// What is seen, with things mounted in it: given what is at a place, what is mounted there.
    Seen(&'a dyn Fn(&Stat) -> Option<OwnedFd>),
    /// What is seen of one file system.
    Merged,
    /// Overlay's upper directory: its marks become those of an image's layer.
    #[cfg_attr(not(test), expect(dead_code, reason = "commit is to come"))]
    Upper,
}

/// An archive that trees are packed into.
pub(crate) struct Packer<'a, W> {
    archive: Writer<W>,
    tree: Tree<'a>,
    /// The names of files that have several: by device and inode.
    seen: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Packer<'a, W> {
    /// An empty archive on `to`, which should have a buffer.
    pub(crate) fn new(to: W, tree: Tree<'a>) -> Self {
        Self { archive: Writer::new(to), tree, seen: HashMap::new(), buffer: vec![0; file::BUFFER] }
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// Those of what it is written to.
    pub(crate) fn finish(self) -> Result<W> {
        self.archive.finish()
    }
}
