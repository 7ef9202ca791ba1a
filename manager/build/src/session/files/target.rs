//! The tree that received files are put in. Nobody else changes it meanwhile, and no link in it is
//! followed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use tare_proto::builds::fsutil::types::Stat;

use super::entry::{FileKind, permissions, split};
use crate::error::{Error, Result};

const BELOW: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// The tree.
pub(in crate::session) struct Target {
    root: OwnedFd,
    /// The directory that was last worked in.
    recent: Option<(Vec<u8>, OwnedFd)>,
}

impl Target {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root, recent: None }
    }

    /// Makes anything that isn't a regular file; a directory gets its mode and time at the end, by
    /// [`Target::settle`].
    pub(super) fn make(&mut self, stat: &Stat, kind: FileKind) -> Result<()> {
        let (above, name) = split(&stat.path);
        let directory = self.directory(above)?;
        let failed = |error: Errno| failed("make", &stat.path, error);
        match kind {
            FileKind::Regular => return Ok(()),
            FileKind::Directory => {
                return match rustix::fs::mkdirat(directory, name, Mode::RWXU) {
                    Err(Errno::EXIST) | Ok(()) => Ok(()),
                    Err(error) => Err(failed(error)),
                };
            }
            FileKind::Symlink => {
                rustix::fs::symlinkat(stat.linkname.as_slice(), directory, name).map_err(failed)?;
            }
            FileKind::Fifo => special(directory, name, FileType::Fifo, stat).map_err(failed)?,
            FileKind::CharacterDevice => {
                special(directory, name, FileType::CharacterDevice, stat).map_err(failed)?;
            }
            FileKind::BlockDevice => {
                special(directory, name, FileType::BlockDevice, stat).map_err(failed)?;
            }
        }
        let follow = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = owner(stat);
        rustix::fs::chownat(directory, name, uid, gid, follow).map_err(failed)?;
        if kind != FileKind::Symlink {
            // It is ours alone, and was made just now: no link stands there.
            let mode = Mode::from_raw_mode(permissions(stat.mode));
            rustix::fs::chmodat(directory, name, mode, AtFlags::empty()).map_err(failed)?;
        }
        rustix::fs::utimensat(directory, name, &times(stat), follow).map_err(failed)
    }

    /// Makes a regular file that is still to be filled.
    pub(super) fn create(&mut self, stat: &Stat) -> Result<OwnedFd> {
        let (above, name) = split(&stat.path);
        let directory = self.directory(above)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::openat(directory, name, flags | OFlags::NOFOLLOW, mode)
            .map_err(|error| failed("make", &stat.path, error))
    }

    /// Makes the file of `stat` one with that at `target`.
    pub(super) fn link(&mut self, stat: &Stat) -> Result<()> {
        let failed = |error| failed("link", &stat.path, error);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (of, of_name) = split(&stat.linkname);
        let of = open_below(self.root.as_fd(), of, flags | OFlags::DIRECTORY).map_err(failed)?;
        let (above, name) = split(&stat.path);
        let directory = self.directory(above)?;
        rustix::fs::linkat(of, of_name, directory, name, AtFlags::empty()).map_err(failed)
    }

    /// Makes the file of `stat` the one that is at the same path below `from`. False: the kernel
    /// gives it no further name.
    pub(super) fn link_from(&mut self, from: &mut Self, stat: &Stat) -> Result<bool> {
        let failed = |error| failed("link", &stat.path, error);
        let (above, name) = split(&stat.path);
        let old = from.directory(above)?;
        match rustix::fs::linkat(old, name, self.directory(above)?, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::MLINK) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes what is at `path`, if there is anything, with all that is in it.
    pub(super) fn remove(&mut self, path: &[u8]) -> Result<()> {
        let failed = |error| failed("remove", path, error);
        self.recent = None;
        let (above, name) = split(path);
        let directory = match open_below(self.root.as_fd(), above, DIRECTORY | OFlags::RDONLY) {
            Ok(directory) => directory,
            // It went with its directory.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        remove_all(directory.as_fd(), name).map_err(failed)
    }

    /// Gives the directory of `stat` its owner, mode, attributes and time.
    pub(super) fn settle(&mut self, stat: &Stat) -> Result<()> {
        let failed = |error| failed("set the mode of", &stat.path, error);
        let directory = open_below(self.root.as_fd(), &stat.path, DIRECTORY | OFlags::RDONLY);
        finish(directory.map_err(failed)?.as_fd(), stat).map_err(failed)
    }

    fn directory(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>> {
        if self.recent.as_ref().is_none_or(|(recent, _)| recent != path) {
            let opened = open_below(self.root.as_fd(), path, DIRECTORY | OFlags::PATH)
                .map_err(|error| failed("open", path, error))?;
            self.recent = Some((path.to_vec(), opened));
        }
        match &self.recent {
            Some((_, directory)) => Ok(directory.as_fd()),
            None => Ok(self.root.as_fd()),
        }
    }
}

/// Gives a file or directory its owner, attributes, mode and time, in this order: a change of owner
/// takes away bits of the mode.
pub(super) fn finish(file: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = owner(stat);
    rustix::fs::fchown(file, uid, gid)?;
    for (name, value) in stat.xattrs.iter().filter(|(name, _)| is_allowed(name)) {
        match rustix::fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
            // What a file system doesn't have, isn't kept.
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(permissions(stat.mode)))?;
    rustix::fs::futimens(file, &times(stat))
}

/// Attributes that mean the same wherever a file is. Those of overlays would make a lower directory
/// mean something else than what is in it.
pub(in crate::session) fn is_allowed(name: &str) -> bool {
    let is_users = name.starts_with("user.") && !name.starts_with("user.overlay.");
    let others = ["security.capability", "system.posix_acl_access", "system.posix_acl_default"];
    is_users || others.contains(&name)
}

/// Opens `path` below `root`; empty: the root itself.
pub(in crate::session) fn open_below(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), BELOW)
}

/// Removes `name` of `directory`, with all that is in it; not being there is fine. It needs no more
/// descriptors for a deep tree than for a flat one.
pub(in crate::session) fn remove_all(directory: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error),
    }
    let mut way = vec![name.to_vec()];
    while let Some(inner) = way.last() {
        let opened = open_below(directory, &way.join(&b'/'), DIRECTORY | OFlags::RDONLY)?;
        if let Some(deeper) = empty(&opened)? {
            way.push(deeper);
            continue;
        }
        let above = open_below(directory, &way[..way.len() - 1].join(&b'/'), DIRECTORY)?;
        rustix::fs::unlinkat(above, inner.as_slice(), AtFlags::REMOVEDIR)?;
        way.pop();
    }
    Ok(())
}

/// Removes what is in `directory`, up to the first directory that isn't empty itself.
fn empty(directory: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) => continue,
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(error),
        }
        match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
            Ok(()) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_vec())),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn special(
    directory: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    stat: &Stat,
) -> Result<(), Errno> {
    let number = |number: i64| u32::try_from(number).map_err(|_| Errno::INVAL);
    let device = rustix::fs::makedev(number(stat.devmajor)?, number(stat.devminor)?);
    rustix::fs::mknodat(directory, name, kind, Mode::RUSR | Mode::WUSR, device)
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    // The highest number means to leave it as it is.
    let is = |id: u32| id != u32::MAX;
    let uid = is(stat.uid).then(|| Uid::from_raw(stat.uid));
    (uid, is(stat.gid).then(|| Gid::from_raw(stat.gid)))
}

fn times(stat: &Stat) -> Timestamps {
    let nanoseconds = stat.mod_time.rem_euclid(1_000_000_000);
    let time = Timespec { tv_sec: stat.mod_time.div_euclid(1_000_000_000), tv_nsec: nanoseconds };
    Timestamps { last_access: time, last_modification: time }
}

fn failed(doing: &str, path: &[u8], error: Errno) -> Error {
    let path = String::from_utf8_lossy(path);
    Error::io(format_args!("{doing} {path:?} of the context"), io::Error::from(error))
}
