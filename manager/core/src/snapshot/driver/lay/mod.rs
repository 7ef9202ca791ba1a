//! One layer laid over a tree: what it has is copied, what its marks say is gone is taken away.

mod file;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;

pub(in crate::snapshot) use file::copy_data;
pub use file::{Cloning, share_or_copy};

use crate::error::{Error, Result};
use crate::image::archive::path;
use crate::snapshot::delete;
use crate::snapshot::lowers::Layer;
use crate::snapshot::unpack::metadata;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// All directories on the way are real ones: those of a layer, and those that were made here.
const BELOW: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It is copied.
    Copy,
    /// It gets one more name where the target is on the layer's file system; the target must only
    /// be read.
    Link,
}

/// Lays `layer` over what is in `target` already.
pub(super) fn lay(layer: &Layer, target: &OwnedFd, how: How) -> Result<()> {
    let mut laying = Laying {
        layer,
        target,
        how,
        ahead: vec![Vec::new()],
        done: Vec::new(),
        links: HashMap::new(),
        cloning: Cloning::Untried,
    };
    while let Some(path) = laying.ahead.pop() {
        laying.directory(&path)?;
        laying.done.push(path);
    }
    laying.finish()
}

struct Laying<'a> {
    layer: &'a Layer,
    target: &'a OwnedFd,
    how: How,
    /// Directories whose content is still to be copied.
    ahead: Vec<Vec<u8>>,
    /// Directories whose content is copied, those above before those below.
    done: Vec<Vec<u8>>,
    /// The first path of each file that has several, by inode.
    links: HashMap<u64, Vec<u8>>,
    cloning: Cloning,
}

impl Laying<'_> {
    /// Copies what is in the directory `path`, which the target has too.
    fn directory(&mut self, path: &[u8]) -> Result<()> {
        let from = directory(&self.layer.root, path)?;
        let to = directory(self.target, path)?;
        let marks = self.layer.marks;
        if marks.is_opaque(from.as_fd())? {
            empty(&to)?;
        }
        for entry in Dir::read_from(&from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || marks.is_note(name) {
                continue;
            }
            let stat =
                rustix::fs::statat(&from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            if marks.is_whiteout(&stat) {
                remove(&to, name)?;
                continue;
            }
            let way = path::join(path, name);
            self.member(&from, &to, name, &stat, way).map_err(|error| {
                error.while_doing(format_args!("{:?}", String::from_utf8_lossy(name)))
            })?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &[u8],
        stat: &Stat,
        way: Vec<u8>,
    ) -> Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            make_directory(to, name)?;
            self.ahead.push(way);
            return Ok(());
        }
        if self.how == How::Link {
            let linked = in_place_of_anything(to, name, || {
                match rustix::fs::linkat(from, name, to, name, AtFlags::empty()) {
                    // The file has as many names as it can have, or the layer is a file system of
                    // its own.
                    Err(Errno::MLINK | Errno::XDEV) => Ok(false),
                    outcome => outcome.map(|()| true),
                }
            })?;
            if linked {
                return Ok(());
            }
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&stat.st_ino) {
                return in_place_of_anything(to, name, || {
                    rustix::fs::linkat(self.target, first.as_slice(), to, name, AtFlags::empty())
                });
            }
            self.links.insert(stat.st_ino, way);
        }
        match kind {
            FileType::RegularFile => self.file(from, to, name, stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new()).map_err(failed)?;
                in_place_of_anything(to, name, || {
                    rustix::fs::symlinkat(target.as_c_str(), to, name)
                })?;
                describe_by_name(to, name, stat, false)
            }
            _ => {
                in_place_of_anything(to, name, || {
                    rustix::fs::mknodat(to, name, kind, Mode::empty(), stat.st_rdev)
                })?;
                describe_by_name(to, name, stat, true)
            }
        }
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &[u8], stat: &Stat) -> Result<()> {
        let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let original = rustix::fs::openat(from, name, read, Mode::empty()).map_err(failed)?;
        let make =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let copy = in_place_of_anything(to, name, || {
            rustix::fs::openat(to, name, make, Mode::RUSR | Mode::WUSR)
        })?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        file::share_or_copy(original.as_fd(), copy.as_fd(), size, &mut self.cloning)?;
        describe(original.as_fd(), copy.as_fd(), stat)
    }

    /// Gives directories what the copying into them has changed, innermost first.
    fn finish(self) -> Result<()> {
        for path in self.done.iter().rev() {
            let original = directory(&self.layer.root, path)?;
            let stat = rustix::fs::fstat(&original).map_err(failed)?;
            let copy = directory(self.target, path)?;
            describe(original.as_fd(), copy.as_fd(), &stat)?;
        }
        Ok(())
    }
}

fn directory(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    rustix::fs::openat2(root, path, DIRECTORY, Mode::empty(), BELOW).map_err(failed)
}

/// Makes a directory, or takes the one that is there.
fn make_directory(to: &OwnedFd, name: &[u8]) -> Result<()> {
    match rustix::fs::statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => return Ok(()),
        Ok(_) => remove(to, name)?,
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed(errno)),
    }
    rustix::fs::mkdirat(to, name, Mode::RWXU).map_err(failed)
}

/// Does `make`, and once more if something had to be taken away first.
fn in_place_of_anything<T>(
    to: &OwnedFd,
    name: &[u8],
    make: impl Fn() -> rustix::io::Result<T>,
) -> Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            remove(to, name)?;
            make().map_err(failed)
        }
        outcome => outcome.map_err(failed),
    }
}

fn remove(from: &OwnedFd, name: &[u8]) -> Result<()> {
    match rustix::fs::unlinkat(from, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => delete::tree_at(from.as_fd(), name)
            .map_err(|error| Error::io("take a directory away", error)),
        Err(errno) => Err(failed(errno)),
    }
}

fn empty(of: &OwnedFd) -> Result<()> {
    for entry in Dir::read_from(of).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            remove(of, name)?;
        }
    }
    Ok(())
}

/// Gives the open file or directory `copy` what `original` has. The owner goes first: changing it
/// takes setuid bits and capabilities away.
fn describe(original: BorrowedFd<'_>, copy: BorrowedFd<'_>, stat: &Stat) -> Result<()> {
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(copy, Some(owner), Some(group)).map_err(failed)?;
    rustix::fs::fchmod(copy, Mode::from_raw_mode(stat.st_mode & 0o7777)).map_err(failed)?;
    metadata::set_attributes(copy, &metadata::attributes(original)?)?;
    rustix::fs::futimens(copy, &times(stat)).map_err(failed)
}

/// Gives what can't be opened, `name`, the owner, mode and times of `stat`. A link has no mode.
fn describe_by_name(to: &OwnedFd, name: &[u8], stat: &Stat, has_mode: bool) -> Result<()> {
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed)?;
    if has_mode {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        rustix::fs::chmodat(to, name, mode, AtFlags::empty()).map_err(failed)?;
    }
    rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec.cast_signed() },
        last_modification: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: stat.st_mtime_nsec.cast_signed(),
        },
    }
}

fn failed(errno: Errno) -> Error {
    Error::io("copy", errno.into())
}
