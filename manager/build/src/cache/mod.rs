//! What is kept of builds for later ones: results of steps, and directories of cache mounts.
//!
//! A result has a [`Key`], made of all that the step was made of. While a build runs, its results are
//! in memory alone: another build finds them there at once, and nobody waits for the disk. When it has
//! ended, however it has, they are made durable together and recorded ([`Cache::settle`]). Records say
//! which layers a result has, and as long as there is one, those stay.
//!
//! The cache is as large as its rules allow; what was used longest ago goes first, and nothing goes
//! that a build uses.

mod key;
mod mounts;
mod prune;
mod results;
mod settle;
mod turns;
mod usage;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tare_core::Engine;
use tare_core::build::Stack;
use tare_core::store::Table;

pub use key::Key;
pub use usage::{Policy, Prune, Usage, UsageKind};

pub(crate) use key::KeyOf;
pub(crate) use mounts::{CacheDirectory, CacheMount, CacheMounts};
pub(crate) use results::{Found, InUse, NewResult};
pub(crate) use turns::Turns;

use crate::error::{Error, Result};
use crate::session::ContextStore;
use results::{Record, Results};

/// Results of steps, by their keys.
const RESULTS: Table<Record> = Table::new("build-results");

/// What is kept of builds.
pub struct Cache {
    engine: Arc<Engine>,
    results: Mutex<Results<Stack>>,
    pub(crate) mounts: CacheMounts,
    contexts: ContextStore,
    pub(crate) turns: Turns,
    policies: Vec<Policy>,
    /// Somebody will settle soon.
    settling: AtomicBool,
    /// Held by whoever settles or prunes.
    changes: tokio::sync::Mutex<()>,
}

impl Cache {
    /// Opens what is kept below `directory` and in the records; it is kept by these rules.
    ///
    /// # Errors
    /// The records or the directory can't be read.
    pub(crate) async fn open(
        engine: Arc<Engine>,
        directory: &Path,
        contexts: ContextStore,
        policies: Vec<Policy>,
    ) -> Result<Self> {
        let of = Arc::clone(&engine);
        let directory = directory.to_owned();
        let opened = tokio::task::spawn_blocking(move || -> Result<_> {
            let results = restore(&of)?;
            Ok((results, CacheMounts::open(&directory, Arc::clone(&of.store))?))
        });
        let (results, mounts) =
            opened.await.map_err(|error| Error::system(format!("open the cache: {error}")))??;
        Ok(Self {
            engine,
            results: Mutex::new(results),
            mounts,
            contexts,
            turns: Turns::default(),
            policies,
            settling: AtomicBool::new(false),
            changes: tokio::sync::Mutex::default(),
        })
    }

    /// The rules by which things go.
    #[must_use]
    pub fn policy(&self) -> &[Policy] {
        &self.policies
    }

    /// The result that is known by `key`.
    pub(crate) fn find(&self, key: Key) -> Option<Found<Stack>> {
        self.lock().find(key, Timestamp::now())
    }

    /// Whether a result is there that was made by the same work upon the same, whatever was copied
    /// or mounted.
    pub(crate) fn knows_outline(&self, outline: Key) -> bool {
        self.lock().knows_outline(outline)
    }

    /// Takes in what a step has made.
    pub(crate) fn insert(&self, key: Key, new: NewResult<Stack>) -> Found<Stack> {
        let now = Timestamp::now();
        let value = new.value.clone();
        let used = self.lock().insert(key, new, now);
        Found { key, value, created: now, used }
    }

    /// Takes in what a step has made anew, in place of what it has made before.
    pub(crate) fn replace(&self, key: Key, new: NewResult<Stack>) -> Found<Stack> {
        let now = Timestamp::now();
        let value = new.value.clone();
        let used = self.lock().replace(key, new, now);
        Found { key, value, created: now, used }
    }

    /// Whether there is a result that is known by `key`; it is not used thereby.
    pub(crate) fn knows(&self, key: Key) -> bool {
        self.lock().knows(key)
    }

    /// What is known by `key` is known by `other` as well.
    pub(crate) fn also_as(&self, key: Key, other: Key) {
        self.lock().also_as(key, other);
    }

    fn lock(&self) -> MutexGuard<'_, Results<Stack>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The results whose layers are there; the records of others go.
fn restore(engine: &Engine) -> Result<Results<Stack>> {
    let mut results = Results::default();
    let mut gone = Vec::new();
    for (name, record) in engine.store.list(&RESULTS)? {
        let stack = engine.builds.of_layers(&record.layers);
        match (name.parse().map(Key), stack) {
            (Ok(key), Some(stack)) if !record.layers.is_empty() => {
                results.restore(key, stack, record);
            }
            _ => gone.push(name),
        }
    }
    if !gone.is_empty() {
        engine
            .store
            .write(|change| gone.iter().try_for_each(|name| change.delete(&RESULTS, name)))?;
    }
    Ok(results)
}
