//! A procfs that is known to be one, for what must be written there.
//!
//! A write to /proc/sys or /proc/self/attr that an image or a shared mount diverts to another file
//! either does harm there or silently leaves the container unprotected. So the descriptor comes
//! from a mount this process has just made, and no lookup below it may cross into another mount.

use super::attach::new_file_system;
use crate::error::{Context, Error, Kind, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::os::fd::{AsFd, OwnedFd};

/// The root of a procfs of this process's pid namespace.
#[derive(Debug)]
pub(crate) struct Procfs(OwnedFd);

/// The type number of procfs in statfs(2).
const PROC_SUPER_MAGIC: i64 = 0x9fa0;
/// The inode number that only the root of a procfs has.
const ROOT_INODE: u64 = 1;

impl Procfs {
    /// Takes `mount` after checking that it is the root of a procfs.
    pub(crate) fn verify(mount: OwnedFd) -> Result<Procfs> {
        let what = || "look at procfs";
        if is_proc(&mount).context(what)?
            && rustix::fs::fstat(&mount).context(what)?.st_ino == ROOT_INODE
        {
            Ok(Procfs(mount))
        } else {
            Err(Error::new(Kind::System, "/proc is not the root of a procfs"))
        }
    }

    /// A procfs of this process's own, attached nowhere.
    pub(crate) fn new() -> Result<Procfs> {
        Procfs::verify(new_file_system("proc", None, &[], 0)?)
    }

    /// Writes `value` to the file `path`, which is looked for in this procfs alone.
    pub(crate) fn write(&self, path: &str, value: &[u8]) -> Result<()> {
        let what = || format!("write /proc/{path}");
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::TRUNC;
        let file = openat2(&self.0, path, flags, Mode::empty(), resolve).context(what)?;
        if !is_proc(&file).context(what)? {
            return Err(Error::new(Kind::System, format!("/proc/{path} is not on a procfs")));
        }
        // One write: the kernel takes a setting whole or not at all.
        let written = rustix::io::write(&file, value).context(what)?;
        if written == value.len() {
            Ok(())
        } else {
            Err(Error::system(what(), rustix::io::Errno::IO))
        }
    }
}

/// Whether the file lies on a procfs.
pub(crate) fn is_proc(fd: impl AsFd) -> rustix::io::Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == PROC_SUPER_MAGIC)
}

/// The path below /proc of the sysctl `name`, whose parts are divided by `.` or by `/`, whichever
/// comes first; the other then is part of a name.
pub(crate) fn sysctl_path(name: &str) -> String {
    let dotted = name.find(['.', '/']).is_none_or(|at| name.as_bytes().get(at) == Some(&b'.'));
    let path: String = match dotted {
        true => name
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        false => name.to_owned(),
    };
    format!("sys/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_names_come_in_two_spellings() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward"), "sys/net/ipv4/ip_forward");
        assert_eq!(sysctl_path("net.ipv4.conf.eno2/100.rp"), "sys/net/ipv4/conf/eno2.100/rp");
        assert_eq!(sysctl_path("net/ipv4/conf/eno2.100/rp"), "sys/net/ipv4/conf/eno2.100/rp");
    }

    #[test]
    fn a_directory_that_only_looks_like_proc_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("self/attr")).unwrap();
        let fd = rustix::fs::open(dir.path(), OFlags::PATH, Mode::empty()).unwrap();
        assert!(Procfs::verify(fd).is_err());
        let below = rustix::fs::open("/proc/self", OFlags::PATH, Mode::empty()).unwrap();
        assert!(Procfs::verify(below).is_err());
    }
}
