//! A directory once more, by a mount of its own in which less can be done. The mount has no place:
//! it is reached by its descriptor alone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change,
    mount_remount, move_mount, open_tree,
};

use crate::error::{Error, Result};
use crate::{linux, threads};

/// What can be done through the mount. Whatever that is, nothing there is opened as a device, nothing
/// is run, and no bit makes anyone another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Files are made and changed.
    Write,
    /// Nothing is changed, not even by who may do all.
    Read,
}

/// The open `directory` through a mount of its own, as a handle that opens nothing.
pub(crate) fn shielded(directory: BorrowedFd<'_>, access: Access) -> Result<OwnedFd> {
    let mounted = clone(directory).and_then(|mount| {
        match linux::add_mount_attributes(mount.as_fd(), access.attributes()) {
            Err(Errno::NOSYS) => in_own_namespace(&mount, access),
            added => added.map(|()| mount),
        }
    });
    mounted.map_err(|errno| Error::io("mount a layer's directory once more", errno.into()))
}

/// The open `directory` for reading alone: itself, if it is on a mount that can't be written to.
pub(crate) fn read_only(directory: OwnedFd) -> Result<OwnedFd> {
    let mount = rustix::fs::fstatvfs(&directory)
        .map_err(|errno| Error::io("look at a layer's directory", errno.into()))?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(directory);
    }
    shielded(directory.as_fd(), Access::Read)
}

fn clone(directory: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(directory, "", flags)
}

/// The way before Linux 5.12, where only a mount that has a place can be changed: a thread gives it
/// one in a mount namespace of its own, and hands out what it has become.
fn in_own_namespace(mount: &OwnedFd, access: Access) -> rustix::io::Result<OwnedFd> {
    let work = || -> rustix::io::Result<OwnedFd> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| Errno::from_raw_os_error(errno as i32))?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        move_mount(mount, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        rustix::process::fchdir(mount)?;
        mount_remount(".", MountFlags::BIND | access.flags(), c"")?;
        clone(mount.as_fd())
    };
    thread::scope(|scope| {
        let mounting = threads::start(scope, "mount", work).map_err(|_| Errno::AGAIN)?;
        threads::join(mounting).map_err(|_| Errno::IO)?
    })
}

impl Access {
    fn attributes(self) -> MountAttrFlags {
        let always = MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        match self {
            Self::Write => always,
            Self::Read => always | MountAttrFlags::MOUNT_ATTR_RDONLY,
        }
    }

    fn flags(self) -> MountFlags {
        let always = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
        match self {
            Self::Write => always,
            Self::Read => always | MountFlags::RDONLY,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{FileType, Mode, OFlags};

    use super::*;

    /// A directory with a device, and what it is through a mount that `make` makes.
    fn through(
        make: impl Fn(&OwnedFd) -> rustix::io::Result<OwnedFd>,
    ) -> (tempfile::TempDir, OwnedFd) {
        let directory = tempfile::tempdir().unwrap();
        let here = OwnedFd::from(File::open(directory.path()).unwrap());
        let zero = rustix::fs::makedev(1, 5);
        rustix::fs::mknodat(&here, "zero", FileType::CharacterDevice, Mode::RUSR, zero).unwrap();
        std::fs::write(directory.path().join("file"), "content").unwrap();
        let mount = make(&here).unwrap();
        (directory, mount)
    }

    fn open(mount: &OwnedFd, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(mount, name, flags | OFlags::CLOEXEC, Mode::RUSR)
    }

    fn check(make: fn(&OwnedFd, Access) -> rustix::io::Result<OwnedFd>) {
        let (directory, write) = through(|here| make(here, Access::Write));
        assert_eq!(open(&write, "zero", OFlags::RDONLY).unwrap_err(), Errno::ACCESS);
        open(&write, "new", OFlags::WRONLY | OFlags::CREATE).unwrap();
        assert!(directory.path().join("new").exists());
        let (directory, read) = through(|here| make(here, Access::Read));
        assert_eq!(open(&read, "zero", OFlags::RDONLY).unwrap_err(), Errno::ACCESS);
        assert_eq!(open(&read, "file", OFlags::WRONLY).unwrap_err(), Errno::ROFS);
        let file = open(&read, "file", OFlags::RDONLY).unwrap();
        assert_eq!(rustix::fs::fchmod(&file, Mode::empty()).unwrap_err(), Errno::ROFS);
        // Nobody else sees any of it.
        std::fs::write(directory.path().join("file"), "changed").unwrap();
        File::open(directory.path().join("zero")).unwrap();
    }

    #[test]
    fn less_can_be_done_in_it() {
        check(|here, access| shielded(here.as_fd(), access).map_err(|_| Errno::IO));
    }

    #[test]
    fn an_older_kernels_way_is_as_good() {
        check(|here, access| in_own_namespace(&clone(here.as_fd())?, access));
    }

    #[test]
    fn what_is_read_only_stays_what_it_is() {
        let (_directory, once) = through(|here| Ok(here.try_clone().unwrap()));
        let read = read_only(once).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&read);
        let again = read_only(read).unwrap();
        assert_eq!(std::os::fd::AsRawFd::as_raw_fd(&again), number);
    }
}
