//! The file of the records: it is made under another name, and all of it is looked at before it is
//! used.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, StorageError};

use crate::disk::sync_directory;
use crate::error::{Error, Kind, Result};

/// Why a file could not be opened.
pub(super) struct Failure(DatabaseError);

impl Failure {
    /// Whether what is in the file is not what was written to it.
    pub(super) fn is_damage(&self) -> bool {
        match &self.0 {
            DatabaseError::Storage(StorageError::Io(error)) => {
                matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
                    || error.raw_os_error() == Some(libc::EIO)
            }
            DatabaseError::Storage(StorageError::Corrupted(_))
            | DatabaseError::UpgradeRequired(_)
            | DatabaseError::RepairAborted => true,
            _ => false,
        }
    }

    /// It for a person.
    pub(super) fn told(self, path: &Path) -> Error {
        let (place, opening) = (path.display(), format!("open the records {}", path.display()));
        match self.0 {
            DatabaseError::DatabaseAlreadyOpen => Error::new(
                Kind::Unavailable,
                format!("another tared is using {place}; stop it or give --data-root"),
            ),
            _ if self.is_damage() => Error::system(format!(
                "{opening}: {self}; it is damaged: start tared again, which makes it anew of its copy"
            )),
            DatabaseError::Storage(StorageError::Io(error)) => Error::io(opening, error),
            _ => Error::system(format!("{opening}: {self}")),
        }
    }

    /// It for a person, where no copy is whole.
    pub(super) fn told_without_copy(self, path: &Path) -> Error {
        if !self.is_damage() {
            return self.told(path);
        }
        Error::system(format!(
            "open the records {}: {self}; it is damaged, and so is its copy: put both back from a \
             backup, or remove the whole of its directory to begin anew",
            path.display()
        ))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes of the file that are kept in memory besides the kernel's own copy: records are read once, when
/// a manager begins.
const CACHE: usize = 1 << 20;

/// Opens the file, and looks at every byte of what is in it: one that was damaged must not be
/// trusted.
pub(super) fn open(path: &Path) -> Result<Database, Failure> {
    Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .open(path)
        .map_err(Failure)
}

/// Makes a file under another name, which it gives, and fills it: half of one could never be opened
/// again.
pub(super) fn make(path: &Path, fill: impl FnOnce(&Database) -> Result<()>) -> Result<PathBuf> {
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Error::io(format_args!("delete {}", new.display()), error));
        }
        _ => {}
    }
    let database = Builder::new().create(&new).map_err(|error| Failure(error).told(&new))?;
    fill(&database)?;
    Ok(new)
}

/// Gives a new file the name of the store.
pub(super) fn put(new: &Path, path: &Path) -> Result<()> {
    std::fs::rename(new, path)
        .map_err(|error| Error::io(format_args!("make the records {}", path.display()), error))?;
    path.parent().map_or(Ok(()), sync_directory)
}
