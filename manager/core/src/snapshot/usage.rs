//! What a directory takes on disk.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::image::archive::path;

/// Bytes of the regular files in `root` and below, each file counted once whatever its links.
/// What vanishes meanwhile isn't counted, nor what is nested deeper than a path can name.
pub(crate) fn bytes(root: BorrowedFd<'_>) -> io::Result<u64> {
    bytes_of(root, |_, _| true)
}

/// Bytes of those of them that `counts`, given their path, says.
pub(crate) fn bytes_of(
    root: BorrowedFd<'_>,
    counts: impl Fn(&[u8], &Stat) -> bool,
) -> io::Result<u64> {
    let mut total = 0_u64;
    walk(root, |path, stat| {
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if is_file && counts(path, stat) {
            total = total.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
        }
    })?;
    Ok(total)
}

/// Bytes of the disk that `root` and all below take, as `du` counts them.
pub(crate) fn on_disk(root: BorrowedFd<'_>) -> io::Result<u64> {
    let of = |stat: &Stat| u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
    let mut total = of(&rustix::fs::fstat(root)?);
    walk(root, |_, stat| total = total.saturating_add(of(stat)))?;
    Ok(total)
}

/// Shows everything below `root`, each file once whatever its links.
fn walk(root: BorrowedFd<'_>, mut show: impl FnMut(&[u8], &Stat)) -> io::Result<()> {
    let mut seen = HashSet::new();
    let mut ahead = vec![Vec::new()];
    while let Some(path) = ahead.pop() {
        let way = if path.is_empty() { b".".as_slice() } else { &path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let directory = match rustix::fs::openat2(root, way, flags, Mode::empty(), resolve) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut entries = RawDir::new(directory.as_fd(), buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let path = path::join(&path, name.to_bytes());
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                show(&path, &stat);
                ahead.push(path);
            } else if stat.st_nlink == 1 || seen.insert(stat.st_ino) {
                show(&path, &stat);
            }
        }
    }
    Ok(())
}
