//! The same by mount(2), for kernels before 5.12.
//!
//! mount(2) sets all attributes of a mount at once, so those that are to stay are read first. It
//! takes one mount at a time, so a tree is changed mount by mount: not all at once, but the container
//! that the mounts are for does not run yet. Ids cannot be mapped in this way.

use super::bits::{
    ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, RELATIME, STRICTATIME,
};
use super::table::{self, mount_id};
use super::{Change, Depth};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstatvfs, open};
use rustix::mount::{MountFlags, MountPropagationFlags, mount_change, mount_remount};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Applies `change` to the mount that `mount` is the root of, and which has to be attached.
pub(super) fn apply(mount: BorrowedFd<'_>, depth: Depth, change: Change<'_>) -> io::Result<()> {
    if change.id_map.is_some() {
        return Err(refusal("id-mapped mounts need Linux 5.12 or later".to_owned()));
    }
    if change.set | change.clear != 0 {
        set_flags(mount, change)?;
        if depth == Depth::Tree {
            for below in open_below(mount)? {
                set_flags(below.as_fd(), change)?;
            }
        }
    }
    if change.propagation == 0 {
        return Ok(());
    }
    let kind = MountPropagationFlags::from_bits_retain(change.propagation as u32);
    let kind = match depth {
        Depth::One => kind,
        Depth::Tree => kind | MountPropagationFlags::REC,
    };
    by_path(mount, |path| mount_change(path, kind))
}

fn refusal(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text)
}

fn set_flags(mount: BorrowedFd<'_>, change: Change<'_>) -> io::Result<()> {
    let attributes = (attributes(mount)? & !change.clear) | change.set;
    let flags = flags(attributes) | MountFlags::BIND;
    by_path(mount, |path| mount_remount(path, flags, c""))
}

/// Calls `act` with a path that leads to `mount` and nowhere else: a directory is the working
/// directory meanwhile, which needs no /proc.
fn by_path(
    mount: BorrowedFd<'_>,
    act: impl FnOnce(&CStr) -> rustix::io::Result<()>,
) -> io::Result<()> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(mount)?.st_mode);
    if kind != FileType::Directory {
        let path = CString::new(format!("/proc/self/fd/{}", mount.as_raw_fd()))?;
        return Ok(act(&path)?);
    }
    let before = open(c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::fchdir(mount)?;
    let done = act(c".");
    rustix::process::fchdir(before)?;
    Ok(done?)
}

/// The mounts below `mount`, at whatever depth.
fn open_below(mount: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let table = table::read()?;
    let mut parents = vec![mount_id(mount, c"")?];
    let mut found = Vec::new();
    while let Some(parent) = parents.pop() {
        for entry in table.iter().filter(|entry| entry.parent == parent && entry.id != parent) {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(CWD, &entry.point, flags, Mode::empty())?;
            // A mount that lies on top, or a directory that was moved, would be another one.
            if mount_id(&fd, c"")? != entry.id {
                let point = entry.point.display();
                return Err(refusal(format!(
                    "the mount at {point} is covered by another: to change it needs Linux 5.12 or \
                     later"
                )));
            }
            found.push(fd);
            parents.push(entry.id);
        }
    }
    Ok(found)
}

/// Attributes that are switches, in the words of mount_setattr(2), statvfs(3) and mount(2).
const SWITCHES: [(u64, u64, MountFlags); 6] = [
    (RDONLY, libc::ST_RDONLY, MountFlags::RDONLY),
    (NOSUID, libc::ST_NOSUID, MountFlags::NOSUID),
    (NODEV, libc::ST_NODEV, MountFlags::NODEV),
    (NOEXEC, libc::ST_NOEXEC, MountFlags::NOEXEC),
    (NODIRATIME, libc::ST_NODIRATIME, MountFlags::NODIRATIME),
    (NOSYMFOLLOW, ST_NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
];

/// As the kernel has it.
const ST_NOSYMFOLLOW: u64 = 0x2000;

/// The attributes that the mount has now.
fn attributes(mount: BorrowedFd<'_>) -> io::Result<u64> {
    let flags = fstatvfs(mount)?.f_flag.bits();
    let has = |flag| flags & flag != 0;
    let atime = match (has(libc::ST_NOATIME), has(libc::ST_RELATIME)) {
        (true, _) => NOATIME,
        (false, true) => RELATIME,
        (false, false) => STRICTATIME,
    };
    let switches = SWITCHES.iter().filter(|(_, stat, _)| has(*stat));
    Ok(switches.fold(atime, |all, (attribute, ..)| all | attribute))
}

/// The flags that give a mount these attributes.
fn flags(attributes: u64) -> MountFlags {
    let atime = match attributes & ATIME {
        NOATIME => MountFlags::NOATIME,
        STRICTATIME => MountFlags::STRICTATIME,
        _ => MountFlags::RELATIME,
    };
    let switches = SWITCHES.iter().filter(|(attribute, ..)| attributes & attribute != 0);
    switches.fold(atime, |all, (.., flag)| all | *flag)
}
