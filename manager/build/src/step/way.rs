//! Ways through a tree, one name after the other: a link is followed as it would be by a program for
//! which the tree is all there is, and what is missing can be made.

use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, fstat, mkdirat, openat,
    readlinkat,
};
use rustix::io::Errno;

use super::failed;
use super::walk::DIRECTORY;
use crate::error::{Error, Result};

/// Links on one way, as the kernel has it.
const MOST_LINKS: usize = 255;

/// How anything is held that isn't opened.
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What directories are made like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
}

/// What is at the end of a way.
pub(super) enum End {
    /// A directory.
    Directory(OwnedFd),
    /// Something else: where it is, what it is called there, and whether there is anything.
    Other { parent: OwnedFd, name: CString, is_there: bool },
}

/// Follows `path` from `root`; where directories are missing, they are made like `make`, but for the
/// last one. All links are followed.
pub(super) fn follow(root: BorrowedFd<'_>, path: &str, make: Option<&Made>) -> Result<Option<End>> {
    let wrong = |error: Errno| failed("open", path, error);
    let mut rest: VecDeque<Vec<u8>> = names(path.as_bytes()).collect();
    let mut way = vec![openat(root, c".", DIRECTORY, Mode::empty()).map_err(wrong)?];
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == b".." {
            if way.len() > 1 {
                way.pop();
            }
            continue;
        }
        let here = way.last().map(AsFd::as_fd).unwrap_or(root);
        let name = CString::new(name).map_err(|_| Error::invalid("a name with a null byte"))?;
        let found = match openat(here, &name, HANDLE, Mode::empty()) {
            Ok(found) => found,
            Err(Errno::NOENT) if rest.is_empty() => {
                return end(way, name, false).map(Some);
            }
            Err(Errno::NOENT) => match make {
                None => return Ok(None),
                Some(make) => {
                    way.push(make_one(here, &name, make).map_err(wrong)?);
                    continue;
                }
            },
            Err(error) => return Err(wrong(error)),
        };
        match FileType::from_raw_mode(fstat(&found).map_err(wrong)?.st_mode) {
            FileType::Directory => {
                way.push(openat(&found, c".", DIRECTORY, Mode::empty()).map_err(wrong)?);
            }
            FileType::Symlink => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(wrong(Errno::LOOP));
                }
                let target = readlinkat(&found, c"", Vec::new()).map_err(wrong)?.into_bytes();
                if target.starts_with(b"/") {
                    way.truncate(1);
                }
                for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                    rest.push_front(name);
                }
            }
            _ if rest.is_empty() => return end(way, name, true).map(Some),
            _ => {
                let there = if links == 0 { before(path, rest.len() - 1) } else { path.to_owned() };
                return Err(failed("lstat", &there, Errno::NOTDIR));
            }
        }
    }
    Ok(way.pop().map(End::Directory))
}

/// `path` without its last `count` names.
fn before(path: &str, count: usize) -> String {
    let all: Vec<_> = names(path.as_bytes()).collect();
    let before = all.get(..all.len().saturating_sub(count)).unwrap_or_default();
    String::from_utf8_lossy(&before.join(&b'/')).into_owned()
}

fn end(mut way: Vec<OwnedFd>, name: CString, is_there: bool) -> Result<End> {
    let parent = way.pop().ok_or_else(|| Error::system("a way that begins nowhere"))?;
    Ok(End::Other { parent, name, is_there })
}

/// The directory at `path`, if there is one.
pub(super) fn existing_directory(root: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>> {
    match follow(root, path, None)? {
        Some(End::Directory(directory)) => Ok(Some(directory)),
        Some(End::Other { is_there: true, .. }) => Err(failed("mkdir", path, Errno::NOTDIR)),
        Some(End::Other { is_there: false, .. }) | None => Ok(None),
    }
}

/// The directory at `path`, which is made if it isn't there.
pub(super) fn ensure(root: BorrowedFd<'_>, path: &str, make: &Made) -> Result<OwnedFd> {
    match follow(root, path, Some(make))? {
        Some(End::Directory(directory)) => Ok(directory),
        Some(End::Other { parent, name, is_there: false }) => {
            make_one(parent.as_fd(), &name, make).map_err(|error| failed("mkdir", path, error))
        }
        Some(End::Other { is_there: true, .. }) => Err(failed("mkdir", path, Errno::NOTDIR)),
        None => Err(failed("mkdir", path, Errno::NOENT)),
    }
}

fn make_one(parent: BorrowedFd<'_>, name: &CString, make: &Made) -> rustix::io::Result<OwnedFd> {
    mkdirat(parent, name, Mode::from_raw_mode(make.mode))?;
    let made = openat(parent, name, DIRECTORY, Mode::empty())?;
    let (uid, gid) = make.owner;
    fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    fchmod(&made, Mode::from_raw_mode(make.mode))?;
    Ok(made)
}

/// Gives what is called `name` an owner; a link isn't followed.
pub(super) fn own(
    parent: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    (uid, gid): (u32, u32),
) -> rustix::io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

/// The names of a path; `.` and nothing are left out.
fn names(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let names = path.split(|byte| *byte == b'/');
    names.filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}

/// The shortest path that means the same as long as no link is on it; what makes it a directory's
/// stays.
pub(super) fn clean(path: &str) -> String {
    let mut clean: Vec<&str> = Vec::new();
    for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        match name {
            ".." => drop(clean.pop()),
            name => clean.push(name),
        }
    }
    let is_directory = path.ends_with('/') || path.ends_with("/.");
    let end = if is_directory && !clean.is_empty() { "/" } else { "" };
    format!("/{}{end}", clean.join("/"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const MAKE: Made = Made { mode: 0o750, owner: (0, 0) };

    #[test]
    fn links_stay_inside_and_what_they_miss_is_made() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join("root").join(path);
        std::fs::create_dir_all(at("")).unwrap();
        symlink("/made/../here", at("absolute")).unwrap();
        symlink("../../../up", at("outward")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let root = std::fs::File::open(at("")).unwrap();
        ensure(root.as_fd(), "/absolute/deep/er", &MAKE).unwrap();
        assert!(at("here/deep/er").is_dir() && at("made").is_dir());
        ensure(root.as_fd(), "outward/x", &MAKE).unwrap();
        assert!(at("up/x").is_dir());
        assert!(!scratch.path().join("up").exists());
        assert!(ensure(root.as_fd(), "loop/x", &MAKE).is_err());
        std::fs::write(at("file"), "").unwrap();
        assert!(ensure(root.as_fd(), "file", &MAKE).is_err());
        assert!(ensure(root.as_fd(), "file/x", &MAKE).is_err());
        assert!(existing_directory(root.as_fd(), "/here/./deep/..//deep").unwrap().is_some());
        assert!(existing_directory(root.as_fd(), "nowhere/x").unwrap().is_none());
    }
}
