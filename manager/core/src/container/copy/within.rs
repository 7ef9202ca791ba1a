//! Putting an archive's members into a container's directory while its processes may change it.
//!
//! What is made is made new, in a directory that is held open, and gets its owner, mode and time by
//! a descriptor that is known to be of it: a link or another file that is put in its place meanwhile
//! is never written through.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::super::rootfs::Ids;
use super::super::view::{Found, Last, View};
use super::words;
use crate::error::{Error, Result};
use crate::ids::Acting;
use crate::image::archive::{Archive, Entry, EntryKind, path};
use crate::snapshot::delete;
use crate::snapshot::unpack::{file, metadata};

const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory that is unpacked into.
pub(super) struct Within<'a> {
    view: &'a View,
    place: &'a Found,
    /// Who gets all; none: what the archive says.
    owner: Option<(u32, u32)>,
    replace_directories: bool,
    /// When directories were changed, by their path in the archive: set in the end, as what is put
    /// into them changes it.
    times: BTreeMap<Vec<u8>, Timestamps>,
    /// The directory that the last member went to.
    last: Option<(Vec<u8>, Found)>,
}

impl<'a> Within<'a> {
    /// Nothing unpacked yet in `place`.
    pub(super) fn new(
        view: &'a View,
        place: &'a Found,
        owner: Option<(u32, u32)>,
        replace_directories: bool,
    ) -> Self {
        let times = BTreeMap::new();
        Self { view, place, owner, replace_directories, times, last: None }
    }

    /// Unpacks `entry`, whose data is next in `archive`.
    pub(super) fn apply<R: BufRead>(
        &mut self,
        mut entry: Entry,
        archive: &mut Archive<R>,
    ) -> Result<()> {
        let plain = inside(&entry.path)?;
        if plain.is_empty() {
            return Ok(());
        }
        if let Some((uid, gid)) = self.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        let (above, name) = path::split(&plain);
        let parent = self.parent(above)?;
        parent.access.check().map_err(|errno| refused("open", &plain, errno))?;
        let directory = parent.handle.as_fd();
        if !self.make_way(&parent, name, &plain, &entry)? {
            let found = self.find(&plain, Last::Keep)?;
            return self.directory(&found, &with_ids(entry, &found.ids)?, plain);
        }
        let entry = with_ids(entry, &parent.ids)?;
        let _acting = parent.ids.as_deref().map(Acting::as_root_of).transpose()?;
        match &entry.kind {
            EntryKind::File { size, segments } => {
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let made = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
                    .map_err(|errno| refused("create", &plain, errno))?;
                file::fill(made.as_fd(), *size, segments.as_deref(), archive).map_err(|error| {
                    let shown = String::from_utf8_lossy(&entry.path);
                    error.while_doing(format_args!("unpack {shown:?}"))
                })?;
                set_open(made.as_fd(), &entry)?;
                rustix::fs::futimens(&made, &times(&entry))
                    .map_err(|errno| refused("set the time of", &plain, errno))
            }
            EntryKind::Directory => {
                rustix::fs::mkdirat(directory, name, Mode::RWXU)
                    .map_err(|errno| refused("mkdir", &plain, errno))?;
                let found = self.find(&plain, Last::Keep)?;
                self.directory(&found, &entry, plain)
            }
            EntryKind::Symlink { target } => {
                rustix::fs::symlinkat(target.as_slice(), directory, name)
                    .map_err(|errno| refused("symlink", &plain, errno))?;
                set_named(directory, name, FileType::Symlink, &entry)
            }
            EntryKind::HardLink { target } => self.hard_link(directory, name, target, &plain),
            EntryKind::CharacterDevice { major, minor } => {
                node(directory, name, FileType::CharacterDevice, (*major, *minor), &entry)
            }
            EntryKind::BlockDevice { major, minor } => {
                node(directory, name, FileType::BlockDevice, (*major, *minor), &entry)
            }
            EntryKind::Fifo => node(directory, name, FileType::Fifo, (0, 0), &entry),
        }
    }

    /// Gives directories the times that had to wait.
    pub(super) fn finish(self) -> Result<()> {
        for (path, times) in &self.times {
            // One that has been taken away or exchanged meanwhile is its owner's affair.
            let Ok(found) = self.view.find_from(self.place, path, Last::Keep) else { continue };
            if found.is_directory()
                && let Ok(directory) =
                    rustix::fs::openat(&found.handle, ".", DIRECTORY, Mode::empty())
            {
                rustix::fs::futimens(&directory, times)
                    .map_err(|errno| refused("set the time of", path, errno))?;
            }
        }
        Ok(())
    }

    fn find(&self, plain: &[u8], last: Last) -> Result<Found> {
        let found = self.view.find_from(self.place, plain, last);
        found.map_err(|stopped| refused("open", plain, stopped.errno))
    }

    /// The directory at `above`, made if it isn't there.
    fn parent(&mut self, above: &[u8]) -> Result<Found> {
        if let Some((last, found)) = &self.last
            && last == above
        {
            return Ok(found.clone());
        }
        let found = match self.view.find_from(self.place, above, Last::Follow) {
            Ok(found) => found,
            Err(stopped) if stopped.errno == Errno::NOENT => {
                let (higher, name) = path::split(above);
                let parent = self.parent(higher)?;
                parent.access.check().map_err(|errno| refused("mkdir", above, errno))?;
                let _acting = parent.ids.as_deref().map(Acting::as_root_of).transpose()?;
                rustix::fs::mkdirat(&parent.handle, name, Mode::from_raw_mode(0o755))
                    .map_err(|errno| refused("mkdir", above, errno))?;
                self.find(above, Last::Follow)?
            }
            Err(stopped) => return Err(refused("open", above, stopped.errno)),
        };
        if !found.is_directory() {
            return Err(refused("mkdir", above, Errno::NOTDIR));
        }
        self.last = Some((above.to_vec(), found.clone()));
        Ok(found)
    }

    /// Takes away what is at a member's place. `false`: it is a directory, as the member is, and
    /// stays.
    fn make_way(
        &mut self,
        parent: &Found,
        name: &[u8],
        plain: &[u8],
        entry: &Entry,
    ) -> Result<bool> {
        let there = match rustix::fs::openat(&*parent.handle, name, HANDLE, Mode::empty()) {
            Ok(handle) => rustix::fs::fstat(&handle),
            Err(Errno::NOENT) => return Ok(true),
            Err(errno) => Err(errno),
        };
        let there = there.map_err(|errno| refused("lstat", plain, errno))?;
        let is_directory = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
        let becomes_directory = entry.kind == EntryKind::Directory;
        if is_directory && becomes_directory {
            return Ok(false);
        }
        if is_directory != becomes_directory && !self.replace_directories {
            let (old, new) = match is_directory {
                true => ("directory", "non-directory"),
                false => ("non-directory", "directory"),
            };
            return Err(Error::system(format!(
                "cannot overwrite {old} {:?} with {new} {:?}",
                String::from_utf8_lossy(plain),
                format!("/{}", String::from_utf8_lossy(&self.place.path)),
            )));
        }
        self.take_away(parent, name, plain, &there)?;
        self.last = None;
        Ok(true)
    }

    fn take_away(&self, parent: &Found, name: &[u8], plain: &[u8], there: &Stat) -> Result<()> {
        let whole = path::join(&parent.path, name);
        if self.view.mounted(there).is_some() || self.view.is_mounted_within(&whole) {
            return Err(refused("unlinkat", plain, Errno::BUSY));
        }
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            return delete::tree_at(parent.handle.as_fd(), name)
                .map_err(|error| Error::io("replace the directory", error));
        }
        match rustix::fs::unlinkat(&*parent.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(refused("unlinkat", plain, errno)),
        }
    }

    /// Sets what the archive says of a directory that is there now.
    fn directory(&mut self, found: &Found, entry: &Entry, plain: Vec<u8>) -> Result<()> {
        found.access.check().map_err(|errno| refused("chmod", &plain, errno))?;
        let directory = rustix::fs::openat(&*found.handle, ".", DIRECTORY, Mode::empty())
            .map_err(|errno| refused("open", &plain, errno))?;
        set_open(directory.as_fd(), entry)?;
        self.times.insert(plain, times(entry));
        Ok(())
    }

    /// Another name of what is at `target` in the same archive.
    fn hard_link(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        target: &[u8],
        plain: &[u8],
    ) -> Result<()> {
        let target = inside(target)?;
        let (above, original) = path::split(&target);
        let from = self.find(above, Last::Follow)?;
        from.access.check().map_err(|errno| refused("link", plain, errno))?;
        rustix::fs::linkat(&*from.handle, original, directory, name, AtFlags::empty())
            .map_err(|errno| refused("link", plain, errno))
    }
}

/// The path of a member, seen from where the archive is unpacked; it may not lead out of there.
fn inside(path: &[u8]) -> Result<Vec<u8>> {
    let mut depth = 0_usize;
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if depth == 0 => {
                return Err(Error::invalid(format!(
                    "{:?} is outside of the directory that is unpacked into",
                    String::from_utf8_lossy(path)
                )));
            }
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    path::plain(path)
}

/// The same with the owner that it has on the host.
fn with_ids(mut entry: Entry, ids: &Ids) -> Result<Entry> {
    if let Some(ids) = ids {
        (entry.uid, entry.gid) = ids.outside(entry.uid, entry.gid)?;
    }
    Ok(entry)
}

/// Sets owner, mode and attributes of an open file or directory; the owner goes first: changing it
/// takes setuid bits and capabilities away.
fn set_open(file: BorrowedFd<'_>, entry: &Entry) -> Result<()> {
    let (uid, gid) = owner(entry);
    rustix::fs::fchown(file, Some(uid), Some(gid))
        .and_then(|()| rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode)))
        .map_err(|errno| refused("set the owner and mode of", &entry.path, errno))?;
    metadata::set_attributes(file, &entry.attributes)
}

fn node(
    directory: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    (major, minor): (u32, u32),
    entry: &Entry,
) -> Result<()> {
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(directory, name, kind, Mode::empty(), device)
        .map_err(|errno| refused("mknod", &entry.path, errno))?;
    set_named(directory, name, kind, entry)
}

/// Sets owner, mode and time of the link, pipe or device that was just made as `name`, if it still
/// is one.
fn set_named(directory: BorrowedFd<'_>, name: &[u8], kind: FileType, entry: &Entry) -> Result<()> {
    let failed = |errno| refused("set the owner and mode of", &entry.path, errno);
    let made: OwnedFd =
        rustix::fs::openat(directory, name, HANDLE, Mode::empty()).map_err(failed)?;
    let there = rustix::fs::fstat(&made).map_err(failed)?;
    if FileType::from_raw_mode(there.st_mode) != kind {
        return Err(Error::conflict("the container has put something else in its place"));
    }
    let (uid, gid) = owner(entry);
    rustix::fs::chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).map_err(failed)?;
    // This name leads to what was looked at, whatever has its name in the directory since.
    let itself = format!("/proc/self/fd/{}", made.as_raw_fd());
    if kind != FileType::Symlink {
        let mode = Mode::from_raw_mode(entry.mode);
        rustix::fs::chmodat(CWD, itself.as_str(), mode, AtFlags::empty()).map_err(failed)?;
    }
    rustix::fs::utimensat(CWD, itself, &times(entry), AtFlags::empty()).map_err(failed)
}

fn owner(entry: &Entry) -> (Uid, Gid) {
    (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid))
}

fn times(entry: &Entry) -> Timestamps {
    let modified =
        Timespec { tv_sec: entry.modified.seconds, tv_nsec: i64::from(entry.modified.nanoseconds) };
    metadata::times(modified)
}

fn refused(doing: &str, path: &[u8], errno: Errno) -> Error {
    let text = format!("{doing} /{}", String::from_utf8_lossy(path));
    match errno {
        Errno::NOSPC | Errno::DQUOT => Error::io(text, errno.into()),
        errno => Error::system(format!("{text}: {}", words(errno))),
    }
}
