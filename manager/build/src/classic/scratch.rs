//! Directories of builds, which go with them.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Where they are, below the data root.
const PLACE: &str = "builds/scratch";

/// Numbers them.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// An empty directory. Dropped, it is deleted with all that is in it by then.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one. Blocks.
    ///
    /// # Errors
    /// It can't be made.
    pub fn new(data_root: &Path) -> Result<Self> {
        let place = data_root.join(PLACE);
        loop {
            let path = place.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
            make(&place, true)?;
            match make(&path, false) {
                Ok(()) => return Ok(Self(path)),
                Err(_) if path.exists() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes what builds that did not end have left. Blocks.
    ///
    /// # Errors
    /// It can't be deleted.
    pub fn sweep(data_root: &Path) -> Result<()> {
        let place = data_root.join(PLACE);
        match std::fs::remove_dir_all(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format_args!("delete {}", place.display()), error))
            }
            _ => Ok(()),
        }
    }

    /// Puts a file there, with the directories that it is in; nothing else may have been there
    /// before. Blocks.
    ///
    /// # Errors
    /// It can't be written, or is to be elsewhere.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        use std::path::Component;
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let failed = |error| Error::io(format_args!("write {path} of a context"), error);
        if !inside {
            return Err(Error::invalid(format!(
                "forbidden path outside the build context: {path}"
            )));
        }
        let whole = self.0.join(path);
        if let Some(directory) = whole.parent() {
            make(directory, true)?;
        }
        std::fs::write(whole, content).map_err(failed)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// It, opened.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(&self) -> Result<OwnedFd> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(&self.0, flags, Mode::empty())
            .map_err(|errno| Error::io(format_args!("open {}", self.0.display()), errno.into()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a directory of a build stays");
        }
    }
}

fn make(path: &Path, parents: bool) -> Result<()> {
    DirBuilder::new()
        .recursive(parents)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::io(format_args!("make the directory {}", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_go_with_what_is_in_them() {
        let root = tempfile::tempdir().unwrap();
        let (one, other) = (Scratch::new(root.path()).unwrap(), Scratch::new(root.path()).unwrap());
        std::fs::write(one.0.join("file"), "x").unwrap();
        let path = one.0.clone();
        one.open().unwrap();
        drop(one);
        assert!(!path.exists() && other.0.exists());
        std::mem::forget(other);
        Scratch::sweep(root.path()).unwrap();
        assert!(!root.path().join(PLACE).exists());
        Scratch::sweep(root.path()).unwrap();
    }
}
