//! The directory under which all snapshots stand, each with a short number as its name: a hundred
//! of them must fit into the options of one mount.

use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::delete;
use crate::error::{Error, Result};

/// The directory of a layer's or container's files in its snapshot.
pub(super) const FILES: &str = "fs";
/// Overlay's scratch directory in a container's snapshot.
pub(super) const WORK: &str = "work";

/// `snapshots/` and its numbers.
pub(super) struct Directories {
    root: PathBuf,
    next: AtomicU64,
}

/// A new snapshot's directory: deleted when dropped, unless it is kept.
pub(crate) struct Fresh {
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
        Ok(Arc::new(Self { root, next: AtomicU64::new(1) }))
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
    pub(super) fn fresh(&self) -> Result<Fresh> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let fresh = Fresh { number, path: self.path(number), kept: AtomicBool::new(false) };
        make(&fresh.path, 0o700)?;
        make(&fresh.path.join(FILES), 0o755)?;
        Ok(fresh)
    }

    /// Deletes the directory with this number.
    pub(super) fn delete(&self, number: u64) -> Result<()> {
        let path = self.path(number);
        delete::tree(&path).map_err(|error| {
            Error::io(format_args!("delete the snapshot {}", path.display()), error)
        })
    }

    /// Deletes whatever stands here and isn't named by one of `kept`.
    pub(super) fn sweep(&self, kept: impl Fn(u64) -> bool) -> Result<()> {
        let list = |error| Error::io(format_args!("list {}", self.root.display()), error);
        for entry in std::fs::read_dir(&self.root).map_err(list)? {
            let entry = entry.map_err(list)?;
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if number.is_some_and(&kept) {
                continue;
            }
            tracing::info!(path = %entry.path().display(), "deleting an unfinished snapshot");
            let deleted = match entry.file_type() {
                Ok(kind) if kind.is_dir() => delete::tree(&entry.path()),
                _ => std::fs::remove_file(entry.path()),
            };
            deleted.map_err(|error| {
                Error::io(format_args!("delete {}", entry.path().display()), error)
            })?;
        }
        Ok(())
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
        if let Err(error) = delete::tree(&self.path) {
            // The sweep at the next start finds it.
            tracing::warn!(path = %self.path.display(), %error, "an unfinished snapshot stays");
        }
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

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    std::fs::File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::io(format_args!("sync {}", path.display()), error))
}

/// Makes a directory.
pub(super) fn make(path: &Path, mode: u32) -> Result<()> {
    DirBuilder::new()
        .mode(mode)
        .create(path)
        .map_err(|error| Error::io(format_args!("make the directory {}", path.display()), error))
}

/// Opens a directory.
pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    let opened = std::fs::File::open(path).map(OwnedFd::from);
    opened.map_err(|error| Error::io(format_args!("open {}", path.display()), error))
}
