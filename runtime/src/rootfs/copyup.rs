//! Filling a new tmpfs with what the image has at its place (`tmpcopyup`).

use super::place::{file_type, open_here};
use crate::error::{Context, Error, Result};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod,
    fchown, fstat, futimens, mkdirat, mknodat, openat, readlinkat, symlinkat,
};
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// How deep directories may be nested; each level holds descriptors open.
const MAX_DEPTH: usize = 200;

/// Copies all that is in the directory `from` to the directory `to`: files, directories, links and
/// special files, with their permissions, owners and times.
pub(crate) fn copy(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = openat(from, c".", flags, Mode::empty()).context(|| "open the directory")?;
    copy_dir(&from, to.as_fd(), 0).context(|| "tmpcopyup")
}

fn copy_dir(from: &OwnedFd, to: std::os::fd::BorrowedFd<'_>, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::invalid("directories are nested too deeply"));
    }
    for entry in Dir::read_from(from).context(|| "list the directory")? {
        let entry = entry.context(|| "list the directory")?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, to, name, depth)
                .context(|| OsStr::from_bytes(name.to_bytes()).display().to_string())?;
        }
    }
    Ok(())
}

fn copy_entry(
    from: &OwnedFd,
    to: std::os::fd::BorrowedFd<'_>,
    name: &CStr,
    depth: usize,
) -> Result<()> {
    let what = || "copy";
    let source = open_here(from, OsStr::from_bytes(name.to_bytes())).context(what)?;
    let stat = fstat(&source).context(what)?;
    let read = |flags: OFlags| {
        openat(from, name, OFlags::NOFOLLOW | OFlags::CLOEXEC | flags, Mode::empty()).context(what)
    };
    match file_type(&source).context(what)? {
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU).context(what)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = openat(to, name, flags, Mode::empty()).context(what)?;
            copy_dir(&read(OFlags::RDONLY | OFlags::DIRECTORY)?, made.as_fd(), depth + 1)?;
            dress(&made, &stat).context(what)
        }
        FileType::RegularFile => {
            // Without waiting: what was a file a moment ago may be a fifo now.
            let mut data = std::fs::File::from(read(OFlags::RDONLY | OFlags::NONBLOCK)?);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let made = openat(to, name, flags, Mode::RWXU).context(what)?;
            let mut made = std::fs::File::from(made);
            std::io::copy(&mut data, &mut made).context(what)?;
            dress(&made, &stat).context(what)
        }
        FileType::Symlink => {
            let target = readlinkat(&source, c"", Vec::new()).context(what)?;
            symlinkat(&target, to, name).context(what)?;
            own(to, name, &stat).context(what)
        }
        special => {
            let mode = Mode::from_raw_mode(stat.st_mode);
            mknodat(to, name, special, mode, stat.st_rdev).context(what)?;
            own(to, name, &stat).context(what)
        }
    }
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

fn own(dir: std::os::fd::BorrowedFd<'_>, name: &CStr, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = owner(stat);
    chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

/// Owner first: a change of owner takes set-id bits away.
fn dress(made: impl AsFd, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = owner(stat);
    fchown(&made, uid, gid)?;
    fchmod(&made, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let time = |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as i64 };
    futimens(
        &made,
        &Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_tree_is_copied_with_its_permissions() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("d")).unwrap();
        fs::write(from.path().join("d/f"), "data").unwrap();
        fs::set_permissions(from.path().join("d/f"), PermissionsExt::from_mode(0o4751)).unwrap();
        fs::set_permissions(from.path().join("d"), PermissionsExt::from_mode(0o1700)).unwrap();
        symlink("/nowhere", from.path().join("l")).unwrap();
        copy(fs::File::open(from.path()).unwrap(), fs::File::open(to.path()).unwrap()).unwrap();
        let file = fs::metadata(to.path().join("d/f")).unwrap();
        assert_eq!(fs::read(to.path().join("d/f")).unwrap(), b"data");
        assert_eq!(file.mode() & 0o7777, 0o4751);
        assert_eq!(file.mtime(), fs::metadata(from.path().join("d/f")).unwrap().mtime());
        assert_eq!(fs::metadata(to.path().join("d")).unwrap().mode() & 0o7777, 0o1700);
        assert_eq!(fs::read_link(to.path().join("l")).unwrap().to_str(), Some("/nowhere"));
    }
}
