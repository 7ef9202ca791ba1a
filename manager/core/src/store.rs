//! The records: one embedded, transactional file that survives a crash at any moment.
//!
//! Each table maps a text key to one record, kept as JSON so that a person can read it and a later
//! version can add fields. Readers see the last commit and never wait for a writer. The rule for
//! writers is "data before the record that names it": make files durable first, then commit.
//!
//! A full disk must not keep anyone from deleting things: the file's space is reserved beforehand,
//! and after a failed write the file is opened anew, since redb refuses to go on with it.
//!
//! Disks forget bits, and the records say whose all the rest is: so every byte of the file is looked
//! at when it is opened, and there is a copy of all records in another form, by which a file that is
//! damaged or lost is made anew.

mod copy;
mod file;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, TableHandle};
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Kind, Result};
use copy::{Change, Copy, Records, Saved};

/// Space that is reserved beyond the file's end, so that it can still grow on a full disk.
const RESERVE: u64 = 1 << 20;

/// How many transactions there were, so that of two copies the later one is known.
const REVISIONS: Table<u64> = Table::new("revision");
const REVISION: &str = "last";

/// The open store.
pub struct Store {
    path: PathBuf,
    /// None after a failed write, until it can be opened again.
    database: RwLock<Option<Database>>,
    /// How long the file may become without asking the disk for space.
    reserved: AtomicU64,
    /// Held while something is written.
    copy: Mutex<Copy>,
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
    changes: RefCell<Vec<Change>>,
}

impl Store {
    /// Opens the store in the file `path`, creating it if it isn't there. One that is damaged or lost
    /// is made anew of its copy, if there is one; it is kept under another name then.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if another process has it open; [`Kind::System`] if it can't be read.
    pub fn open(path: &Path) -> Result<Self> {
        let (database, saved) = open(path, copy::read(path))?;
        let store = Self {
            path: path.to_owned(),
            database: RwLock::new(Some(database)),
            reserved: AtomicU64::new(0),
            copy: Mutex::new(Copy::of(path, saved.as_ref())),
        };
        store.reserve();
        let mut copy = lock(&store.copy);
        if copy.is_to_be_renewed() {
            let revision = store.with(revision)?;
            copy.renew(revision, || store.with(all));
        }
        drop(copy);
        Ok(store)
    }

    /// Whether there is a copy of which the store could be made anew.
    pub fn is_restorable(path: &Path) -> bool {
        copy::read(path).is_some()
    }

    /// The record under `key`, if there is one.
    pub fn get<V: DeserializeOwned>(&self, table: &Table<V>, key: &str) -> Result<Option<V>> {
        self.with(|database| {
            let read = database.begin_read().map_err(failed)?;
            let records = match read.open_table(table.definition()) {
                Ok(records) => records,
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
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
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
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
        let mut copy = lock(&self.copy);
        let written = self.with(|database| write(database, change));
        // What failed at the disk fails from then on.
        if written.as_ref().is_err_and(|error| is_of_the_disk(error.kind())) {
            self.reopen()?;
        }
        self.reserve();
        let Written { outcome, revision, changes } = written?;
        copy.append(revision, &changes, || self.with(all));
        Ok(outcome)
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
        *database = Some(file::open(&self.path).map_err(|failure| failure.told(&self.path))?);
        Ok(())
    }
}

/// Opens the file, or makes it anew of what was saved of it, which is given back if it is as that is.
fn open(path: &Path, saved: Option<Saved>) -> Result<(Database, Option<Saved>)> {
    if path.metadata().is_ok_and(|file| file.len() == 0) {
        std::fs::remove_file(path).map_err(|error| {
            Error::io(format_args!("delete the empty {}", path.display()), error)
        })?;
    }
    let there = path.exists().then(|| file::open(path));
    let opened = match (there, saved) {
        (Some(Ok(database)), saved) => {
            let revision = revision(&database)?;
            match saved {
                Some(saved) if saved.revision > revision => {
                    let aside = path.with_extension("behind");
                    tracing::error!(
                        path = %path.display(), kept_as = %aside.display(),
                        "the records lack their last changes; they are taken from their copy"
                    );
                    drop(database);
                    (replace(path, &saved, &aside)?, Some(saved))
                }
                saved => (database, saved.filter(|saved| saved.revision == revision)),
            }
        }
        (Some(Err(failure)), Some(saved)) if failure.is_damage() => {
            let aside = path.with_extension("damaged");
            tracing::error!(
                path = %path.display(), kept_as = %aside.display(), %failure,
                "the records are damaged; they are taken from their copy"
            );
            (replace(path, &saved, &aside)?, Some(saved))
        }
        (Some(Err(failure)), _) => return Err(failure.told_without_copy(path)),
        (None, saved) => {
            let new = file::make(path, |database| match &saved {
                Some(saved) => {
                    tracing::error!(
                        path = %path.display(),
                        "the records are missing; they are taken from their copy"
                    );
                    restore(database, saved)
                }
                None => Ok(()),
            })?;
            file::put(&new, path)?;
            (file::open(path).map_err(|failure| failure.told(path))?, saved)
        }
    };
    Ok(opened)
}

/// Makes the file anew of what was saved, and keeps the one that is there under the name `aside`.
fn replace(path: &Path, saved: &Saved, aside: &Path) -> Result<Database> {
    // First the new one, then its name: a crash in between changes nothing.
    let new = file::make(path, |database| restore(database, saved))?;
    std::fs::rename(path, aside)
        .map_err(|error| Error::io(format_args!("put {} aside", path.display()), error))?;
    file::put(&new, path)?;
    file::open(path).map_err(|failure| failure.told(path))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is done by a transaction.
struct Written<T> {
    outcome: T,
    revision: u64,
    changes: Vec<Change>,
}

fn write<T>(
    database: &Database,
    change: impl FnOnce(&Transaction) -> Result<T>,
) -> Result<Written<T>> {
    let inner = database.begin_write().map_err(failed)?;
    let transaction = Transaction { inner, changes: RefCell::default() };
    let outcome = change(&transaction)?;
    let changes = transaction.changes.take();
    let revision = transaction.get(&REVISIONS, REVISION)?.unwrap_or(0) + 1;
    transaction.put(&REVISIONS, REVISION, &revision)?;
    transaction.inner.commit().map_err(failed)?;
    Ok(Written { outcome, revision, changes })
}

/// Puts what was saved into a new file.
fn restore(database: &Database, saved: &Saved) -> Result<()> {
    let inner = database.begin_write().map_err(failed)?;
    let transaction = Transaction { inner, changes: RefCell::default() };
    for ((table, key), record) in &saved.records {
        let definition = TableDefinition::<&str, &[u8]>::new(table);
        let mut records = transaction.inner.open_table(definition).map_err(failed)?;
        records.insert(key.as_str(), record.as_slice()).map_err(failed)?;
    }
    transaction.put(&REVISIONS, REVISION, &saved.revision)?;
    transaction.inner.commit().map_err(failed)
}

/// Every record of every table.
fn all(database: &Database) -> Result<Records> {
    let read = database.begin_read().map_err(failed)?;
    let mut all = Records::new();
    for table in read.list_tables().map_err(failed)? {
        if table.name() == REVISIONS.name {
            continue;
        }
        let definition = TableDefinition::<&str, &[u8]>::new(table.name());
        for entry in read.open_table(definition).map_err(failed)?.iter().map_err(failed)? {
            let (key, record) = entry.map_err(failed)?;
            let name = (table.name().to_owned(), key.value().to_owned());
            all.insert(name, record.value().to_vec());
        }
    }
    Ok(all)
}

/// How many transactions there were.
fn revision(database: &Database) -> Result<u64> {
    let read = database.begin_read().map_err(failed)?;
    match read.open_table(REVISIONS.definition()) {
        Ok(records) => match records.get(REVISION).map_err(failed)? {
            Some(record) => decode(&REVISIONS, REVISION, record.value()),
            None => Ok(0),
        },
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(failed(error)),
    }
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
        self.changes.borrow_mut().push(Change::new(table.name, key, Some(bytes)));
        Ok(())
    }

    /// Takes the record under `key` away; it is no error if there is none.
    pub fn delete<V>(&self, table: &Table<V>, key: &str) -> Result<()> {
        let mut records = self.inner.open_table(table.definition()).map_err(failed)?;
        records.remove(key).map_err(failed)?;
        self.changes.borrow_mut().push(Change::new(table.name, key, None));
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
mod tests;
