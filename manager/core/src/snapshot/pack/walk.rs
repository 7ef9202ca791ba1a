//! The walk through the tree: each directory before what is in it, names in order.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{Packer, Tree, file};
use crate::container::rootfs::Ids;
use crate::error::{Error, Result};
use crate::image::archive::path;
use crate::snapshot::marks::Marks;

/// Directories below one another that are kept open only every so often.
const DEEP: usize = 24;
/// The longest path: what is deeper could not be named by whoever unpacks it.
const LONGEST: usize = 4095;

/// A handle that opens nothing: neither a link is followed nor a device told.
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// The way from an open directory to what is below it.
const BELOW: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Something that is still to be packed.
struct Ahead {
    /// An open directory above it.
    base: Rc<OwnedFd>,
    /// The way to it from there, and its components.
    way: Vec<u8>,
    depth: usize,
    /// Its path in the archive.
    shown: Vec<u8>,
    /// Whose ids are seen there: the archive has those that they stand for.
    ids: Ids,
}

impl<W: Write> Packer<'_, W> {
    /// Packs what `handle` is of, with all that is in it, as `shown` and below. `None`: what is in
    /// the directory, without itself. Files there show the ids that `ids` has on the host.
    ///
    /// # Errors
    /// Those of what is packed and of where it goes; invalid for what no archive can hold.
    pub(crate) fn pack(&mut self, handle: OwnedFd, shown: Option<&[u8]>, ids: Ids) -> Result<()> {
        let stat = with_ids(stat(&handle)?, &ids);
        let name = shown.unwrap_or_default();
        if shown.is_some() {
            self.member(&handle, &stat, name)?;
        }
        if !is_directory(&stat) {
            return Ok(());
        }
        let (base, start) = (Rc::new(handle), Vec::new());
        let mut ahead = Vec::new();
        let top = Ahead { base, way: start, depth: 0, shown: name.to_vec(), ids };
        self.list(&top, &mut ahead)?;
        while let Some(next) = ahead.pop() {
            self.visit(next, &mut ahead)?;
        }
        Ok(())
    }

    fn visit(&mut self, mut next: Ahead, ahead: &mut Vec<Ahead>) -> Result<()> {
        let found =
            rustix::fs::openat2(&next.base, next.way.as_slice(), HANDLE, Mode::empty(), BELOW);
        let mut handle = match found {
            Ok(handle) => handle,
            Err(errno) if is_gone(errno) => return Ok(()),
            Err(errno) => return Err(failed(&next.shown, errno)),
        };
        let mut stat = stat(&handle)?;
        let mounted = match self.tree {
            Tree::Seen(mounted) => mounted(&stat),
            Tree::Merged | Tree::Upper(_) | Tree::Whole { .. } => None,
        };
        let is_base = mounted.is_some() || next.depth >= DEEP;
        if let Some((mounted, ids)) = mounted {
            (handle, next.ids) = (mounted, ids);
            stat = rustix::fs::fstat(&handle).map_err(|errno| failed(&next.shown, errno))?;
        }
        self.member(&handle, &with_ids(stat, &next.ids), &next.shown)?;
        if is_directory(&stat) {
            if is_base {
                (next.base, next.way, next.depth) = (Rc::new(handle), Vec::new(), 0);
            }
            self.list(&next, ahead)?;
        }
        Ok(())
    }

    /// Puts what is in the directory `of` ahead, the first name last.
    fn list(&mut self, of: &Ahead, ahead: &mut Vec<Ahead>) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let way = if of.way.is_empty() { b".".as_slice() } else { &of.way };
        let directory = match rustix::fs::openat2(&of.base, way, flags, Mode::empty(), BELOW) {
            Ok(directory) => directory,
            Err(errno) if is_gone(errno) => return Ok(()),
            Err(errno) => return Err(failed(&of.shown, errno)),
        };
        if matches!(self.tree, Tree::Upper(_)) && Marks::Overlay.is_opaque(directory.as_fd())? {
            self.opaque_mark(&of.shown)?;
        }
        let modified = file::modified(&stat(&directory)?);
        let mut names = Vec::new();
        for entry in Dir::new(directory).map_err(|errno| failed(&of.shown, errno))? {
            let entry = entry.map_err(|errno| failed(&of.shown, errno))?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        if let Tree::Whole { names: of_image, .. } = self.tree {
            for gone in of_image(&of.shown)? {
                if names.binary_search_by(|one| gone.cmp(one)).is_err() {
                    self.whiteout(&path::join(&of.shown, &gone), modified)?;
                }
            }
        }
        for name in names {
            let shown = below(&of.shown, &name);
            if shown.len() > LONGEST {
                return Err(Error::invalid(format!(
                    "{:?} has a path of more than {LONGEST} bytes, which no archive can hold",
                    String::from_utf8_lossy(&name)
                )));
            }
            let way = path::join(&of.way, &name);
            let (base, ids) = (Rc::clone(&of.base), of.ids.clone());
            ahead.push(Ahead { base, way, depth: of.depth + 1, shown, ids });
        }
        Ok(())
    }
}

/// The same with the ids that a container sees.
fn with_ids(mut stat: Stat, ids: &Ids) -> Stat {
    if let Some(ids) = ids {
        (stat.st_uid, stat.st_gid) = ids.inside(stat.st_uid, stat.st_gid);
    }
    stat
}

/// `directory/name`; a directory that is shown as `/` has one slash only.
fn below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"/" => [b"/", name].concat(),
        directory => path::join(directory, name),
    }
}

/// Opens what `handle` is of, for reading; it must be a regular file or a directory.
pub(super) fn reopen(handle: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let name = format!("/proc/self/fd/{}", handle.as_raw_fd());
    rustix::fs::openat(CWD, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

pub(super) fn stat(handle: &OwnedFd) -> Result<Stat> {
    rustix::fs::fstat(handle).map_err(|errno| Error::io("look at a file", errno.into()))
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
}

/// Whether someone has taken it away or exchanged it meanwhile.
pub(super) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE | Errno::XDEV)
}

pub(super) fn failed(shown: &[u8], errno: Errno) -> Error {
    Error::io(format_args!("read {:?}", String::from_utf8_lossy(shown)), errno.into())
}
