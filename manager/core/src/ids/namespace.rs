//! User namespaces that live without a process: each is held by a bind mount on a file. A network
//! namespace belongs to the one that it was made in, whose root rules it.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::CloneFlags;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::mount_bind;

use super::map::IdMap;
use crate::error::{Error, Result};
use crate::linux::Keeper;

/// A new user namespace with these ids. Blocks.
pub(crate) fn new(map: &IdMap) -> Result<OwnedFd> {
    let failed = |error| Error::io("make a user namespace", error);
    let keeper = Keeper::start(None, CloneFlags::CLONE_NEWUSER).map_err(failed)?;
    for (file, lines) in [("uid_map", map.uid_lines()), ("gid_map", map.gid_lines())] {
        let path = format!("/proc/{}/{file}", keeper.pid());
        std::fs::write(&path, lines).map_err(|error| Error::io(format!("write {path}"), error))?;
    }
    namespace_of(&keeper, "user").map_err(failed)
}

/// A new network namespace that belongs to the user namespace `owner`. Blocks.
pub(crate) fn new_network(owner: BorrowedFd<'_>) -> Result<OwnedFd> {
    let failed = |error| Error::io("make a network namespace in a user namespace", error);
    let keeper = Keeper::start(Some(owner), CloneFlags::CLONE_NEWNET).map_err(failed)?;
    namespace_of(&keeper, "net").map_err(failed)
}

/// Has the file `path`, which is made, hold the namespace.
pub(crate) fn hold(namespace: &OwnedFd, path: &Path) -> Result<()> {
    let failed = |error| Error::io(format!("hold a user namespace at {}", path.display()), error);
    File::create(path).map_err(failed)?;
    mount_bind(format!("/proc/self/fd/{}", namespace.as_raw_fd()), path)
        .map_err(|errno| failed(errno.into()))
}

/// Opens the namespace that the file `path` holds.
pub(crate) fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::io(format!("open the namespace {}", path.display()), errno.into()))
}

/// Whether both are the same namespace.
pub(crate) fn is_same(one: &Path, other: &Path) -> Result<bool> {
    let identity = |path: &Path| {
        let facts = rustix::fs::fstat(open(path)?);
        let facts = facts.map_err(|errno| {
            Error::io(format!("look at the namespace {}", path.display()), errno.into())
        })?;
        Ok::<_, Error>((facts.st_dev, facts.st_ino))
    };
    Ok(identity(one)? == identity(other)?)
}

fn namespace_of(keeper: &Keeper, kind: &str) -> std::io::Result<OwnedFd> {
    Ok(File::open(format!("/proc/{}/ns/{kind}", keeper.pid()))?.into())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::mount::{UnmountFlags, unmount};

    use super::*;

    #[test]
    fn a_held_namespace_is_the_one_that_was_made() {
        let map = IdMap::new(&[(100_000, 65_536)], &[(100_000, 65_536)]).unwrap();
        let (one, other) = (new(&map).unwrap(), new(&map).unwrap());
        new_network(one.as_fd()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        hold(&one, &at("one")).unwrap();
        hold(&other, &at("other")).unwrap();
        let again = format!("/proc/self/fd/{}", one.as_raw_fd());
        assert!(is_same(&at("one"), Path::new(&again)).unwrap());
        assert!(!is_same(&at("one"), &at("other")).unwrap());
        for name in ["one", "other"] {
            unmount(at(name), UnmountFlags::DETACH).unwrap();
        }
    }

    #[test]
    fn many_are_made_at_once() {
        let map = IdMap::new(&[(100_000, 65_536)], &[(100_000, 65_536)]).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        new_network(new(&map).unwrap().as_fd()).unwrap();
                    }
                });
            }
        });
    }
}
