//! The directory under which all snapshots stand, each with a short number as its name: a hundred
//! of them must fit into the options of one mount.

use std::fs::DirBuilder;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};

use super::delete;
use super::gone::Deleter;
use crate::disk::sync_directory;
use crate::error::{Error, Result};

/// The directory of a layer's or container's files in its snapshot.
pub(super) const FILES: &str = "fs";
/// Overlay's scratch directory in a container's snapshot.
pub(super) const WORK: &str = "work";

/// What the names of directories begin with that are being deleted.
const GONE: &str = "gone-";

/// Where numbers begin: not always at the same one, since a part of the disk goes with each.
const FIRST: std::ops::Range<u64> = 1..10_000;

/// `snapshots/` and its numbers.
pub(super) struct Directories {
    root: PathBuf,
    next: AtomicU64,
    deleter: Deleter,
}

/// A new snapshot's directory: deleted when dropped, unless it is kept.
pub(crate) struct Fresh {
    directories: Arc<Directories>,
    number: u64,
    path: PathBuf,
    kept: AtomicBool,
}

impl Directories {
    /// Opens `root`, creating it if it isn't there.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a path that overlay's options can't hold.
    pub(super) fn open(root: PathBuf) -> Result<Arc<Self>> {
        if root.to_str().is_none_or(|path| path.contains([':', ',', '\\'])) {
            return Err(Error::invalid(format!(
                "the data root {} can't be mounted from: use a path of UTF-8 without ':', ',' \
                 and '\\'",
                root.display()
            )));
        }
        private_directory(&root)?;
        spread(&root);
        let next = AtomicU64::new(rand::random_range(FIRST));
        Ok(Arc::new(Self { root, next, deleter: Deleter::default() }))
    }

    /// The directory with this number.
    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.root.join(number.to_string())
    }

    /// The directory above all of them.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Says that `number` is taken.
    pub(super) fn reserve(&self, number: u64) {
        self.next.fetch_max(number + 1, Ordering::Relaxed);
    }

    /// A new directory with an empty directory `fs` in it.
    pub(super) fn fresh(self: &Arc<Self>) -> Result<Fresh> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (directories, path) = (Arc::clone(self), self.path(number));
        let fresh = Fresh { directories, number, path, kept: AtomicBool::new(false) };
        make(&fresh.path, 0o700)?;
        make(&fresh.path.join(FILES), 0o755)?;
        Ok(fresh)
    }

    /// Deletes the directories with these numbers, which no record names any more. What is large
    /// goes on being deleted when this returns.
    pub(super) fn delete(&self, numbers: impl IntoIterator<Item = u64>) -> Result<()> {
        let renamed: Vec<Result<Option<PathBuf>>> =
            numbers.into_iter().map(|number| self.discard(&self.path(number))).collect();
        let (renamed, failed): (Vec<_>, Vec<_>) = renamed.into_iter().partition(Result::is_ok);
        self.deleter.delete(renamed.into_iter().flatten().flatten().collect())?;
        failed.into_iter().collect::<Result<Vec<_>>>().map(drop)
    }

    /// Has the directory with this number deleted, without waiting for it.
    fn leave(&self, number: u64) -> Result<()> {
        self.deleter.leave(self.discard(&self.path(number))?.into_iter().collect())
    }

    /// Gives what is to be deleted a name that nobody asks for; `None` if it isn't there.
    fn discard(&self, path: &Path) -> Result<Option<PathBuf>> {
        let gone = self.root.join(format!("{GONE}{:016x}", rand::random::<u64>()));
        match std::fs::rename(path, &gone) {
            Ok(()) => Ok(Some(gone)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Error::io(format_args!("delete the snapshot {}", path.display()), error))
            }
        }
    }

    /// Deletes whatever stands here and isn't named by one of `kept`.
    pub(super) fn sweep(&self, kept: impl Fn(u64) -> bool) -> Result<()> {
        let list = |error| Error::io(format_args!("list {}", self.root.display()), error);
        let mut trees = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(list)? {
            let entry = entry.map_err(list)?;
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if number.is_some_and(&kept) {
                continue;
            }
            tracing::info!(path = %entry.path().display(), "deleting an unfinished snapshot");
            // One that can't be deleted must not keep the manager from starting.
            let discarded = match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.discard(&entry.path()),
                _ => delete::anything(&entry.path()).map(|()| None).map_err(|error| {
                    Error::io(format_args!("delete {}", entry.path().display()), error)
                }),
            };
            match discarded {
                Ok(tree) => trees.extend(tree),
                Err(error) => tracing::warn!(%error, "an unfinished snapshot stays"),
            }
        }
        self.deleter.delete(trees)
    }

    /// Makes the names of new directories durable.
    pub(super) fn sync(&self) -> Result<()> {
        sync_directory(&self.root)
    }
}

impl Fresh {
    /// Its number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Its directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A record names it now.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Relaxed) {
            return;
        }
        // Who drops it may be one of those who serve everybody.
        if let Err(error) = self.directories.leave(self.number) {
            // The sweep at the next start finds it.
            tracing::warn!(path = %self.path.display(), %error, "an unfinished snapshot stays");
        }
    }
}

/// Has ext4 put each snapshot into another part of the disk, by its name. New files otherwise go to
/// where others were just deleted, and there every single one looks past all that was deleted within
/// the last minutes: ten times the work, when an image is removed and another pulled. It also lets
/// layers that are unpacked at once not meet. What another file system makes of it does not matter.
fn spread(root: &Path) {
    let Ok(directory) = std::fs::File::open(root) else { return };
    if let Ok(flags) = rustix::fs::ioctl_getflags(&directory) {
        let _ = rustix::fs::ioctl_setflags(&directory, flags | rustix::fs::IFlags::TOPDIR);
    }
}

/// Makes a directory that only we may enter, with those above it.
pub(crate) fn private_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::io(format_args!("make the directory {}", path.display()), error))
}

/// Makes a directory.
pub(super) fn make(path: &Path, mode: u32) -> Result<()> {
    DirBuilder::new()
        .mode(mode)
        .create(path)
        .map_err(|error| Error::io(format_args!("make the directory {}", path.display()), error))
}

/// Opens the directory that `handle`, which opens nothing, stands for.
pub(super) fn open_handle(handle: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(handle, ".", flags, Mode::empty())
        .map_err(|errno| Error::io("open a snapshot's directory", errno.into()))
}

/// Opens a directory. A link in its place is an error: a layer must not lead anywhere else.
pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| Error::io(format_args!("open {}", path.display()), errno.into()))
}
