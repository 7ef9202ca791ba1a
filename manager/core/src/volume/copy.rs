//! Copies a tree of files by descriptors, so that a link in it leads nowhere.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};

/// Bytes of a list of names of attributes, and of a value; the kernel allows no more.
const LARGEST_ATTRIBUTE: usize = 64 << 10;

/// How deep directories may be nested: each level holds descriptors and stack. A path of a program
/// in a container could hardly name more.
const DEEPEST: usize = 400;

/// Copies everything in the directory `from`, and what is said of the directory itself, to the
/// directory at `to`: owners, modes, times, extended attributes, links and device nodes. Containers
/// that share the volume may change it meanwhile: they get nothing but their own files by that.
pub(super) fn tree(from: BorrowedFd<'_>, to: &Path) -> io::Result<()> {
    let to = directory(CWD, to)?;
    contents(from, to.as_fd(), 0)
}

fn contents(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(io::Error::other(format!("directories are nested deeper than {DEEPEST}")));
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let facts = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let (below, copy) = (directory(from, name)?, directory(to, name)?);
                contents(below.as_fd(), copy.as_fd(), depth + 1)?;
            }
            FileType::RegularFile => file(from, to, name)?,
            FileType::Symlink => link(from, to, name, &facts)?,
            // A socket means nothing without the process that listens on it.
            FileType::Socket => {}
            kind => node(to, name, kind, &facts)?,
        }
    }
    describe(from, to)
}

fn directory<P: rustix::path::Arg>(at: BorrowedFd<'_>, name: P) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let reading = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let writing = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, reading, Mode::empty())?;
    let copy = rustix::fs::openat(to, name, writing, Mode::RUSR | Mode::WUSR)?;
    let (mut source, mut copy) = (std::fs::File::from(source), std::fs::File::from(copy));
    io::copy(&mut source, &mut copy)?;
    describe(source.as_fd(), copy.as_fd())
}

fn link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, facts: &Stat) -> io::Result<()> {
    let target = rustix::fs::readlinkat(from, name, Vec::new())?;
    rustix::fs::symlinkat(target, to, name)?;
    let itself = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(to, name, Some(uid(facts)), Some(gid(facts)), itself)?;
    Ok(rustix::fs::utimensat(to, name, &times(facts), itself)?)
}

/// A device or a pipe. It gets its mode by a descriptor that is known to be of the new node: by its
/// name, a link that another container puts there would be followed to a file of the host's.
fn node(to: BorrowedFd<'_>, name: &CStr, kind: FileType, facts: &Stat) -> io::Result<()> {
    let mode = Mode::from_raw_mode(facts.st_mode);
    rustix::fs::mknodat(to, name, kind, mode, facts.st_rdev)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(to, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&made)?;
    if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_rdev != facts.st_rdev {
        return Err(io::Error::other("the volume is changed by a container meanwhile"));
    }
    let (owner, group) = (Some(uid(facts)), Some(gid(facts)));
    rustix::fs::chownat(&made, "", owner, group, AtFlags::EMPTY_PATH)?;
    let path = format!("/proc/self/fd/{}", made.as_raw_fd());
    rustix::fs::chmodat(CWD, path.as_str(), mode, AtFlags::empty())?;
    Ok(rustix::fs::utimensat(CWD, path, &times(facts), AtFlags::empty())?)
}

/// Gives the open file or directory `to` what is said of `from`: the owner first, which takes
/// set-id bits and capabilities away, and the times last.
fn describe(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let facts = rustix::fs::fstat(from)?;
    rustix::fs::fchown(to, Some(uid(&facts)), Some(gid(&facts)))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(facts.st_mode))?;
    attributes(from, to)?;
    rustix::fs::futimens(to, &times(&facts))?;
    Ok(())
}

fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0; LARGEST_ATTRIBUTE];
    let length = match rustix::fs::flistxattr(from, names.as_mut_slice()) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    names.truncate(length);
    let mut value = vec![0; LARGEST_ATTRIBUTE];
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // Overlay's own notes mean nothing outside of it.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let length = rustix::fs::fgetxattr(from, name, value.as_mut_slice())?;
        let value = value.get(..length).unwrap_or_default();
        match rustix::fs::fsetxattr(to, name, value, XattrFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn uid(facts: &Stat) -> Uid {
    Uid::from_raw(facts.st_uid)
}

fn gid(facts: &Stat) -> Gid {
    Gid::from_raw(facts.st_gid)
}

fn times(facts: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.try_into().unwrap_or_default(),
    };
    Timestamps {
        last_access: time(facts.st_atime, facts.st_atime_nsec),
        last_modification: time(facts.st_mtime, facts.st_mtime_nsec),
    }
}
