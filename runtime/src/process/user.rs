//! Becoming the user that a program runs as.

use crate::error::{Error, Result};
use oci_spec::runtime::User;
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::os::fd::BorrowedFd;

/// Whether supplementary groups can be set: an unprivileged user namespace forbids it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Groups {
    /// They are set, if only to none.
    Set,
    /// They stay as they are.
    Keep,
}

/// Takes on the user's groups and ids. Capabilities stay permitted where the caller has asked the
/// kernel to keep them.
pub(crate) fn become_user(user: &User, groups: Groups) -> Result<()> {
    if groups == Groups::Set {
        let ids: Vec<Gid> = user
            .additional_gids()
            .iter()
            .flatten()
            .map(|gid| checked(*gid, "gid").map(Gid::from_raw))
            .collect::<Result<_>>()?;
        match set_thread_groups(&ids) {
            Ok(()) => {}
            // A user namespace that was made without privilege forbids it even to its root: groups
            // could have been given in order to deny something.
            Err(Errno::PERM) if may_set_groups()? => {}
            Err(errno) => return Err(Error::system("setgroups", errno)),
        }
    }
    let gid = Gid::from_raw(checked(user.gid(), "gid")?);
    set_thread_res_gid(gid, gid, gid).map_err(|errno| unmapped(errno, "gid", user.gid()))?;
    let uid = Uid::from_raw(checked(user.uid(), "uid")?);
    set_thread_res_uid(uid, uid, uid).map_err(|errno| unmapped(errno, "uid", user.uid()))
}

/// Whether this process has the privilege, so that only its user namespace can be what forbids it.
fn may_set_groups() -> Result<bool> {
    let sets = rustix::thread::capabilities(None)
        .map_err(|errno| Error::system("look at one's capabilities", errno))?;
    Ok(sets.effective.contains(rustix::thread::CapabilitySet::SETGID))
}

/// -1 means "leave it as it is" to the kernel, and so would run the program as the host's root.
fn checked(id: u32, what: &str) -> Result<u32> {
    match id {
        u32::MAX => Err(Error::invalid(format!("{what} {id} is out of range"))),
        id => Ok(id),
    }
}

fn unmapped(errno: Errno, what: &str, id: u32) -> Error {
    match errno {
        Errno::INVAL => {
            Error::invalid(format!("cannot set{what} to unmapped {what} {id} in user namespace"))
        }
        other => Error::system(format!("set{what} {id}"), other),
    }
}

/// Makes the user the owner of the standard streams, so that the program can open them again
/// through /dev/stdout. The null device is left alone: it may be the host's.
pub(crate) fn own_standard_streams(uid: u32, streams: &[BorrowedFd<'_>]) -> Result<()> {
    for stream in streams {
        let stat = match rustix::fs::fstat(stream) {
            Ok(stat) => stat,
            Err(Errno::BADF) => continue,
            Err(errno) => return Err(Error::system("look at a standard stream", errno)),
        };
        let null = crate::rootfs::devices::is_null(stream)
            .map_err(|errno| Error::system("look at a standard stream", errno))?;
        if stat.st_uid == uid || null {
            continue;
        }
        match rustix::fs::fchown(stream, Some(rustix::fs::Uid::from_raw(uid)), None) {
            // Its owner is not known in this user namespace, or its file system is read-only.
            Ok(()) | Err(Errno::PERM | Errno::ROFS | Errno::INVAL) => {}
            Err(errno) => return Err(Error::system("own a standard stream", errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_one_is_nobody() {
        assert!(checked(u32::MAX, "uid").is_err());
        assert_eq!(checked(0, "uid").unwrap(), 0);
    }
}
