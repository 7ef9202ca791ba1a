//! Copies a tree of files by descriptors, so that a link in it leads nowhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};

/// Bytes of a list of names of attributes, and of a value; the kernel allows no more.
const LARGEST_ATTRIBUTE: usize = 64 << 10;

/// Copies everything in the directory `from`, and what is said of the directory itself, to the
/// directory at `to`: owners, modes, times, extended attributes, links and device nodes.
pub(super) fn tree(from: BorrowedFd<'_>, to: &Path) -> io::Result<()> {
    let to = directory(CWD, to)?;
    contents(from, to.as_fd())
}

fn contents(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let facts = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(facts.st_mode);
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let (below, copy) = (directory(from, name)?, directory(to, name)?);
                contents(below.as_fd(), copy.as_fd())?;
                continue;
            }
            FileType::RegularFile => file(from, to, name)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target, to, name)?;
            }
            // A socket means nothing without the process that listens on it.
            FileType::Socket => continue,
            _ => rustix::fs::mknodat(
                to,
                name,
                kind,
                Mode::from_raw_mode(facts.st_mode),
                facts.st_rdev,
            )?,
        }
        describe_at(to, name, &facts, kind)?;
    }
    describe(from, to)
}

fn directory<P: rustix::path::Arg>(at: BorrowedFd<'_>, name: P) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<()> {
    let reading = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let writing = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, reading, Mode::empty())?;
    let copy = rustix::fs::openat(to, name, writing, Mode::RUSR | Mode::WUSR)?;
    let (mut source, mut copy) = (std::fs::File::from(source), std::fs::File::from(copy));
    io::copy(&mut source, &mut copy)?;
    attributes(source.as_fd(), copy.as_fd())
}

/// Gives the directory `to` what is said of `from`, last: its time changes with its content.
fn describe(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let facts = rustix::fs::fstat(from)?;
    attributes(from, to)?;
    rustix::fs::fchown(to, Some(uid(&facts)), Some(gid(&facts)))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(facts.st_mode))?;
    rustix::fs::futimens(to, &times(&facts))?;
    Ok(())
}

fn describe_at(
    to: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    facts: &Stat,
    kind: FileType,
) -> io::Result<()> {
    let itself = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(to, name, Some(uid(facts)), Some(gid(facts)), itself)?;
    if kind != FileType::Symlink {
        // The name is ours: nobody else writes below this directory yet.
        rustix::fs::chmodat(to, name, Mode::from_raw_mode(facts.st_mode), AtFlags::empty())?;
    }
    rustix::fs::utimensat(to, name, &times(facts), itself)?;
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
