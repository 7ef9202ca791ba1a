//! Owners, modes, times and extended attributes.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::image::archive::{Entry, ModifiedAt};
use crate::snapshot::lookup::Likeness;

/// What the attributes that are lists of access begin with.
pub(super) const ACL: &[u8] = b"system.posix_acl_";

/// Attributes that a layer may set. Overlay's own (`trusted.overlay.`, `user.overlay.`) would
/// redirect lookups; labels of security modules belong to the host.
pub(crate) fn may_set(name: &[u8]) -> bool {
    let of_user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    of_user
        || matches!(
            name,
            b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default"
        )
}

/// What a directory gets when all is unpacked: what is put into it would change its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Late {
    pub(super) mode: u32,
    pub(super) modified: Timespec,
}

impl Late {
    pub(super) fn of(entry: &Entry) -> Self {
        Self { mode: entry.mode, modified: timespec(entry.modified) }
    }

    /// That of a directory which nobody describes: open to all, made now.
    pub(super) fn unsaid() -> Self {
        Self { mode: 0o755, modified: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW } }
    }

    pub(super) fn like(other: &Likeness) -> Self {
        Self { mode: other.mode, modified: other.modified() }
    }

    /// Gives it to the directory.
    pub(super) fn set(&self, directory: BorrowedFd<'_>) -> Result<()> {
        rustix::fs::fchmod(directory, Mode::from_raw_mode(self.mode))
            .map_err(|errno| failed("set the mode", errno))?;
        rustix::fs::futimens(directory, &times(self.modified))
            .map_err(|errno| failed("set the time", errno))
    }
}

/// Sets all that `entry` says on the open file `file`. The owner goes first: changing it takes
/// setuid bits and capabilities away.
/// A mode that it was `made_with` is not set again.
pub(super) fn set_on_file(
    file: BorrowedFd<'_>,
    entry: &Entry,
    made_with: Option<Mode>,
) -> Result<()> {
    if (entry.uid, entry.gid) != (0, 0) {
        rustix::fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
            .map_err(|errno| failed("set the owner", errno))?;
    }
    if made_with.is_none() {
        rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))
            .map_err(|errno| failed("set the mode", errno))?;
    }
    set_attributes(file, &entry.attributes)?;
    rustix::fs::futimens(file, &times(timespec(entry.modified)))
        .map_err(|errno| failed("set the time", errno))
}

/// Sets owner, mode and time of what was just made as `name` in `directory`. `mode` is `None` for
/// a symbolic link, which has none.
pub(super) fn set_by_name(
    directory: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    mode: Option<u32>,
) -> Result<()> {
    set_owner(directory, name, entry.uid, entry.gid)?;
    if let Some(mode) = mode {
        rustix::fs::chmodat(directory, name, Mode::from_raw_mode(mode), AtFlags::empty())
            .map_err(|errno| failed("set the mode", errno))?;
    }
    let times = times(timespec(entry.modified));
    rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| failed("set the time", errno))
}

/// Sets the owner of `name`, which root has just made.
pub(super) fn set_owner(directory: BorrowedFd<'_>, name: &[u8], uid: u32, gid: u32) -> Result<()> {
    if (uid, gid) == (0, 0) { Ok(()) } else { change_owner(directory, name, uid, gid) }
}

/// Sets the owner of `name`, whoever made it: a directory may be one that was made like the one
/// below it, or by an earlier member.
pub(super) fn change_owner(
    directory: BorrowedFd<'_>,
    name: &[u8],
    uid: u32,
    gid: u32,
) -> Result<()> {
    let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(directory, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| failed("set the owner", errno))
}

/// Sets those extended attributes that a layer may set. A file system that has none of a kind
/// does without, as docker does.
pub(crate) fn set_attributes(
    file: BorrowedFd<'_>,
    attributes: &[(Vec<u8>, Vec<u8>)],
) -> Result<()> {
    for (name, value) in attributes.iter().filter(|(name, _)| may_set(name)) {
        match rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOTSUP) => {
                tracing::debug!(name = %String::from_utf8_lossy(name), "attribute not supported");
            }
            Err(errno) => {
                let name = String::from_utf8_lossy(name);
                return Err(failed(format_args!("set the attribute {name}"), errno));
            }
        }
    }
    Ok(())
}

/// The extended attributes of an open file that a layer may set.
pub(crate) fn attributes(file: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0_u8; 64 << 10];
    let length = match rustix::fs::flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(errno) => return Err(failed("list the attributes", errno)),
    };
    names.truncate(length);
    let mut attributes = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| may_set(name)) {
        let mut value = vec![0_u8; 64 << 10];
        match rustix::fs::fgetxattr(file, name, value.as_mut_slice()) {
            Ok(length) => value.truncate(length),
            // Someone has just taken it away.
            Err(Errno::NODATA) => continue,
            Err(errno) => return Err(failed("read an attribute", errno)),
        }
        attributes.push((name.to_vec(), value));
    }
    Ok(attributes)
}

/// When what `stat` describes last changed.
pub(crate) fn modified(stat: &Stat) -> Timespec {
    Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() }
}

/// The times to set: the archive has no other than the last change.
pub(crate) fn times(modified: Timespec) -> Timestamps {
    Timestamps { last_access: modified, last_modification: modified }
}

fn timespec(modified: ModifiedAt) -> Timespec {
    Timespec { tv_sec: modified.seconds, tv_nsec: i64::from(modified.nanoseconds) }
}

/// A failed call on the file system that is unpacked to.
pub(super) fn failed(doing: impl std::fmt::Display, errno: Errno) -> Error {
    Error::io(doing, errno.into())
}
