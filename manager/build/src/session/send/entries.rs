//! Walks a tree and tells of each file as a receiver wants to hear it.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType, OFlags};
use rustix::io::Errno;
use tare_proto::builds::fsutil::types::Stat;

use crate::error::{Error, Result};
use crate::session::files::entry::{FileKind, go_mode};
use crate::session::files::target::{is_allowed, open_below};

/// Tells `each` of all that is below `root`, in walking order; false from it ends the walk.
pub(super) fn walk(root: BorrowedFd<'_>, each: &mut dyn FnMut(Stat) -> bool) -> Result<()> {
    let mut links = HashMap::new();
    // Directories whose names are still to be told of, last first.
    let mut open = vec![(Vec::new(), names(root, b"")?)];
    while let Some((above, left)) = open.last_mut() {
        let Some(name) = left.pop() else {
            open.pop();
            continue;
        };
        let path = if above.is_empty() { name } else { [above.as_slice(), b"/", &name].concat() };
        let stat = look(root, &path, &mut links)?;
        let is_directory = FileKind::of(stat.mode) == Some(FileKind::Directory);
        if !each(stat) {
            return Ok(());
        }
        if is_directory {
            let inside = names(root, &path)?;
            open.push((path, inside));
        }
    }
    Ok(())
}

/// The names in the directory at `path`, last first.
fn names(root: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let failed = |error| failed("read the directory", path, error);
    let directory = open_below(root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW);
    let mut names = Vec::new();
    for entry in Dir::read_from(directory.map_err(failed)?).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
        if !matches!(name.as_slice(), b"." | b"..") {
            names.push(name);
        }
    }
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names)
}

/// The file at `path`. One that has a further name, in `links`, is told of as that.
fn look(
    root: BorrowedFd<'_>,
    path: &[u8],
    links: &mut HashMap<(u64, u64), Vec<u8>>,
) -> Result<Stat> {
    let failed = |error| failed("look at", path, error);
    let handle = open_below(root, path, OFlags::PATH | OFlags::NOFOLLOW).map_err(failed)?;
    let file = rustix::fs::statat(&handle, "", AtFlags::EMPTY_PATH).map_err(failed)?;
    let kind = match FileType::from_raw_mode(file.st_mode) {
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::CharacterDevice => FileKind::CharacterDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        // A socket is told of as an empty file, since there is nothing else to tell.
        FileType::RegularFile | FileType::Socket | FileType::Unknown => FileKind::Regular,
    };
    let is_device = matches!(kind, FileKind::CharacterDevice | FileKind::BlockDevice);
    let mut stat = Stat {
        path: path.to_vec(),
        mode: go_mode(kind, file.st_mode & 0o7777),
        uid: file.st_uid,
        gid: file.st_gid,
        size: if kind == FileKind::Directory { 0 } else { file.st_size },
        mod_time: nanoseconds(&file),
        ..Stat::default()
    };
    if is_device {
        stat.devmajor = rustix::fs::major(file.st_rdev).into();
        stat.devminor = rustix::fs::minor(file.st_rdev).into();
    }
    if kind == FileKind::Symlink {
        let target = rustix::fs::readlinkat(&handle, "", Vec::new()).map_err(failed)?;
        stat.linkname = target.into_bytes();
    } else if kind != FileKind::Directory && file.st_nlink > 1 {
        match links.get(&(file.st_dev, file.st_ino)) {
            Some(first) => (stat.linkname, stat.size) = (first.clone(), 0),
            None => drop(links.insert((file.st_dev, file.st_ino), path.to_vec())),
        }
    }
    if matches!(kind, FileKind::Directory | FileKind::Regular) && stat.linkname.is_empty() {
        attributes(root, path, &mut stat).map_err(failed)?;
    }
    Ok(stat)
}

/// Adds the extended attributes that mean something elsewhere.
fn attributes(root: BorrowedFd<'_>, path: &[u8], stat: &mut Stat) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match open_below(root, path, flags) {
        Ok(file) => file,
        // A socket.
        Err(Errno::NXIO) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::with_capacity(64 << 10);
    match rustix::fs::flistxattr(file.as_fd(), rustix::buffer::spare_capacity(&mut names)) {
        Ok(_) => {}
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error),
    }
    for name in names.split(|&byte| byte == 0).filter_map(|name| std::str::from_utf8(name).ok()) {
        if name.is_empty() || !is_allowed(name) {
            continue;
        }
        let mut value = Vec::with_capacity(64 << 10);
        // It may have gone meanwhile.
        if rustix::fs::fgetxattr(&file, name, rustix::buffer::spare_capacity(&mut value)).is_ok() {
            stat.xattrs.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

fn nanoseconds(file: &rustix::fs::Stat) -> i64 {
    let rest = i64::try_from(file.st_mtime_nsec).unwrap_or(0);
    file.st_mtime.saturating_mul(1_000_000_000).saturating_add(rest)
}

pub(super) fn failed(doing: &str, path: &[u8], error: Errno) -> Error {
    Error::io(format_args!("{doing} {:?}", String::from_utf8_lossy(path)), error.into())
}
