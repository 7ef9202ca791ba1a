//! The records: one embedded, transactional file that survives a crash at any moment.
//!
//! Each table maps a text key to one record, kept as JSON so that a person can read it and a later
//! version can add fields. Readers see the last commit and never wait for a writer. The rule for
//! writers is "data before the record that names it": make files durable first, then commit.
//!
//! A full disk must not keep anyone from deleting things: the file's space is reserved beforehand,
//! and after a failed write the file is opened anew, since redb refuses to go on with it.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::sync_directory;
use crate::error::{Error, Kind, Result};

/// Space that is reserved beyond the file's end, so that it can still grow on a full disk.
const RESERVE: u64 = 1 << 20;

/// The open store.
pub struct Store {
    path: PathBuf,
    /// None after a failed write, until it can be opened again.
    database: RwLock<Option<Database>>,
    /// How long the file may become without asking the disk for space.
    reserved: AtomicU64,
}

/// A named table of records of type `V`. Declare each as a `const` beside its type.
pub struct Table<V> {
    name: &'static str,
    record: PhantomData<fn() -> V>,
}

impl<V> Table<V> {
    /// The table called `name`.
    pub const fn new(name: &'static str) -> Self {
        Self { name, record: PhantomData }
    }

    fn definition(&self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(self.name)
    }
}

/// Changes that are committed together or not at all.
pub struct Transaction {
    inner: redb::WriteTransaction,
}

impl Store {
    /// Opens the store in the file `path`, creating it if it isn't there.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if another process has it open; [`Kind::System`] if it can't be read.
    pub fn open(path: &Path) -> Result<Self> {
        if path.metadata().is_ok_and(|file| file.len() == 0) {
            std::fs::remove_file(path).map_err(|error| cannot_open(path, error))?;
        }
        if !path.exists() {
            create(path)?;
        }
        let database = RwLock::new(Some(open(path)?));
        let store = Self { path: path.to_owned(), database, reserved: AtomicU64::new(0) };
        store.reserve();
        Ok(store)
    }

    /// The record under `key`, if there is one.
    pub fn get<V: DeserializeOwned>(&self, table: &Table<V>, key: &str) -> Result<Option<V>> {
        self.with(|database| {
            let read = database.begin_read().map_err(failed)?;
            let records = match read.open_table(table.definition()) {
                Ok(records) => records,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(failed(error)),
            };
            match records.get(key).map_err(failed)? {
                Some(value) => decode(table, key, value.value()).map(Some),
                None => Ok(None),
            }
        })
    }

    /// Every record of the table with its key, in the order of the keys.
    pub fn list<V: DeserializeOwned>(&self, table: &Table<V>) -> Result<Vec<(String, V)>> {
        self.with(|database| {
            let read = database.begin_read().map_err(failed)?;
            let records = match read.open_table(table.definition()) {
                Ok(records) => records,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(failed(error)),
            };
            let mut list = Vec::new();
            for entry in records.iter().map_err(failed)? {
                let (key, value) = entry.map_err(failed)?;
                list.push((key.value().to_owned(), decode(table, key.value(), value.value())?));
            }
            Ok(list)
        })
    }

    /// Makes `change` in one durable transaction: all of it is on disk when this returns `Ok`,
    /// none of it if `change` or the commit fails. Blocks for the disk; call it off the reactor.
    pub fn write<T>(&self, change: impl FnOnce(&Transaction) -> Result<T>) -> Result<T> {
        let outcome = self.with(|database| write(database, change));
        // What failed at the disk fails from then on.
        if outcome.as_ref().is_err_and(|error| is_of_the_disk(error.kind())) {
            self.reopen()?;
        }
        self.reserve();
        outcome
    }

    /// Gives the file all the space it says it has, and some to grow; asks the disk only where
    /// half of what was reserved beyond it is used.
    fn reserve(&self) {
        let reserve = || -> io::Result<()> {
            let length = self.path.metadata()?.len();
            if length + RESERVE / 2 > self.reserved.load(Ordering::Relaxed) {
                let file = File::options().write(true).open(&self.path)?;
                fallocate(&file, FallocateFlags::KEEP_SIZE, 0, length + RESERVE)?;
                self.reserved.store(length + RESERVE, Ordering::Relaxed);
            }
            Ok(())
        };
        if let Err(error) = reserve() {
            tracing::warn!(path = %self.path.display(), %error, "no space is reserved for the store");
        }
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen()?;
        }
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => work(database),
            None => Err(Error::new(Kind::Unavailable, "the store is being opened again")),
        }
    }

    fn reopen(&self) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        tracing::warn!(path = %self.path.display(), "opening the store again");
        // Closed first, for its lock.
        *database = None;
        // What could not be written is in memory as if it had been: what counts is the disk.
        if let Ok(file) = File::open(&self.path) {
            let _ = fadvise(&file, 0, None, Advice::DontNeed);
        }
        *database = Some(open(&self.path)?);
        Ok(())
    }
}

/// Makes an empty store under another name first: half of one could never be opened again.
fn create(path: &Path) -> Result<()> {
    let new = path.with_extension("new");
    let created = match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    created.map_err(|error| cannot_open(&new, error))?;
    drop(open(&new)?);
    std::fs::rename(&new, path).map_err(|error| cannot_open(path, error))?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn open(path: &Path) -> Result<Database> {
    Database::create(path).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => Error::new(
            Kind::Unavailable,
            format!("another tared is using {}; stop it or give --data-root", path.display()),
        ),
        error => cannot_open(path, error),
    })
}

fn cannot_open(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::system(format!(
        "open the records {}: {error}; if the file is damaged, put it back from a backup, or remove \
         the whole of its directory to begin anew",
        path.display()
    ))
}

fn write<T>(database: &Database, change: impl FnOnce(&Transaction) -> Result<T>) -> Result<T> {
    let transaction = Transaction { inner: database.begin_write().map_err(failed)? };
    let outcome = change(&transaction)?;
    transaction.inner.commit().map_err(failed)?;
    Ok(outcome)
}

fn is_of_the_disk(kind: Kind) -> bool {
    matches!(kind, Kind::System | Kind::Exhausted)
}

impl Transaction {
    /// Sets the record under `key`.
    pub fn put<V: Serialize>(&self, table: &Table<V>, key: &str, record: &V) -> Result<()> {
        let bytes = serde_json::to_vec(record)
            .map_err(|error| Error::system(format!("encode {} {key}: {error}", table.name)))?;
        let mut records = self.inner.open_table(table.definition()).map_err(failed)?;
        records.insert(key, bytes.as_slice()).map_err(failed)?;
        Ok(())
    }

    /// Takes the record under `key` away; it is no error if there is none.
    pub fn delete<V>(&self, table: &Table<V>, key: &str) -> Result<()> {
        let mut records = self.inner.open_table(table.definition()).map_err(failed)?;
        records.remove(key).map_err(failed)?;
        Ok(())
    }

    /// The record under `key` as this transaction sees it.
    pub fn get<V: DeserializeOwned>(&self, table: &Table<V>, key: &str) -> Result<Option<V>> {
        let records = self.inner.open_table(table.definition()).map_err(failed)?;
        match records.get(key).map_err(failed)? {
            Some(value) => decode(table, key, value.value()).map(Some),
            None => Ok(None),
        }
    }
}

fn decode<V: DeserializeOwned>(table: &Table<V>, key: &str, bytes: &[u8]) -> Result<V> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::system(format!("the record {} {key} is damaged: {error}", table.name))
    })
}

fn failed(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Io(error) => Error::io("the store", error),
        error => Error::system(format!("the store: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Table<u32> = Table::new("numbers");
    const TEXTS: Table<String> = Table::new("texts");

    #[test]
    fn a_failed_change_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state.redb")).unwrap();
        store.write(|change| change.put(&NUMBERS, "one", &1)).unwrap();
        let failed = store.write(|change| {
            change.put(&NUMBERS, "two", &2)?;
            Err::<(), _>(Error::invalid("stop"))
        });
        assert!(failed.is_err());
        assert_eq!(store.list(&NUMBERS).unwrap(), [("one".to_owned(), 1)]);
    }

    #[test]
    fn a_second_opener_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let _first = Store::open(&path).unwrap();
        assert_eq!(Store::open(&path).err().unwrap().kind(), Kind::Unavailable);
    }

    #[test]
    fn a_creation_that_was_cut_off_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        std::fs::write(path.with_extension("new"), [0; 5000]).unwrap();
        drop(Store::open(&path).unwrap());
        std::fs::write(&path, "").unwrap();
        Store::open(&path).unwrap().write(|change| change.put(&NUMBERS, "one", &1)).unwrap();
        assert!(!path.with_extension("new").exists());
    }

    #[test]
    fn a_damaged_file_is_an_error_that_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        std::fs::write(&path, "this is no store").unwrap();
        let error = Store::open(&path).err().unwrap().to_string();
        assert!(error.contains("backup") && error.contains("state.redb"), "{error}");
    }

    #[test]
    fn a_full_disk_does_not_stop_small_changes_and_is_got_over() {
        use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
        let directory = tempfile::tempdir().unwrap();
        let small = directory.path().join("small");
        std::fs::create_dir(&small).unwrap();
        mount("tmpfs", &small, "tmpfs", MountFlags::empty(), Some(c"size=16m")).unwrap();
        let store = Store::open(&small.join("state.redb")).unwrap();
        let fill = small.join("fill");
        std::fs::write(&fill, vec![1; 32 << 20]).unwrap_err();

        for number in 0..20 {
            store.write(|change| change.put(&NUMBERS, "small", &number)).unwrap();
        }
        let large = "x".repeat(8 << 20);
        let error = store.write(|change| change.put(&TEXTS, "large", &large)).unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted, "{error}");
        assert_eq!(store.get(&NUMBERS, "small").unwrap(), Some(19));

        std::fs::remove_file(&fill).unwrap();
        store.write(|change| change.put(&TEXTS, "less", &"x".repeat(100_000))).unwrap();
        assert_eq!(store.list(&TEXTS).unwrap().len(), 1);
        drop(store);
        unmount(&small, UnmountFlags::DETACH).unwrap();
    }
}
