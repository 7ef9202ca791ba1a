//! Has a container changed a file of its image?

use std::os::fd::AsRawFd;

use rustix::fs::{FileType, Stat};

use super::lowers::{Lowers, Seen};
use super::pack::Made;

/// Whether a file is another than the image's, as docker sees it.
pub(crate) fn differ(old: &Seen, new: &Seen) -> bool {
    differ_outside(&old.stat, &new.stat) || capability(old) != capability(new)
}

/// Whether what is said of a file is other than what was said of the image's. The time and size of
/// a directory change with what is in it, and say nothing.
pub(crate) fn differ_outside(old: &Stat, new: &Stat) -> bool {
    let facts = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev);
    let content = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    let is_directory = FileType::from_raw_mode(new.st_mode) == FileType::Directory;
    facts(old) != facts(new) || !is_directory && content(old) != content(new)
}

/// The capabilities of a program.
fn capability(seen: &Seen) -> Option<Vec<u8>> {
    if FileType::from_raw_mode(seen.stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let name = format!("/proc/self/fd/{}", seen.handle.as_raw_fd());
    let mut value = vec![0_u8; 64];
    let length = rustix::fs::getxattr(name, "security.capability", value.as_mut_slice()).ok()?;
    value.truncate(length);
    Some(value)
}
/// Who made what is at `path` of a copy of all `lowers` that was written to.
pub(crate) fn made_upon(lowers: &Lowers, path: &[u8], new: &Seen) -> Made {
    match lowers.look(path) {
        Ok(Some(old)) if !differ(&old, new) && !is_linked(&old, new) => {
            match FileType::from_raw_mode(new.stat.st_mode) {
                FileType::Directory => Made::OtherAround,
                _ => Made::Other,
            }
        }
        _ => Made::Container,
    }
}

/// Whether a file has other names than before: those are packed together.
fn is_linked(old: &Seen, new: &Seen) -> bool {
    let is_directory = FileType::from_raw_mode(new.stat.st_mode) == FileType::Directory;
    !is_directory && old.stat.st_nlink != new.stat.st_nlink
}
