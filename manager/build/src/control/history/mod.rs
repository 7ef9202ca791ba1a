//! The builds that there were: what was asked, what came of it, and what they told.
//!
//! One directory each, written when a build is over and not before, so that a crash loses no more
//! than the last of them. The newest are kept, and those that are not old.

mod disk;
mod provenance;
mod query;
mod record;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tare_proto::builds::moby::buildkit::v1 as api;
use tare_proto::builds::moby::buildkit::v1::BuildHistoryEventType as Happened;
use tokio::sync::{OnceCell, broadcast};

use super::wire::{digest, moment};
use crate::error::{Error, Result};
use crate::settings::Kept as Keeps;
pub(super) use provenance::Sources;
pub(super) use query::{Events, Query};
pub(super) use record::{Ended, Recording};

/// How many there are at most.
const MOST: usize = 1000;
/// Events on their way to a follower that doesn't read.
const EVENTS: usize = 256;

/// All of them.
pub(super) struct History {
    directory: PathBuf,
    keeps: Keeps,
    read: OnceCell<()>,
    state: Mutex<State>,
    happened: broadcast::Sender<api::BuildHistoryEvent>,
}

#[derive(Default)]
struct State {
    /// Those under way, by their names.
    active: BTreeMap<String, api::BuildHistoryRecord>,
    /// Those that are over.
    over: HashMap<String, Kept>,
}

/// One that is over.
#[derive(Clone)]
struct Kept {
    record: api::BuildHistoryRecord,
    blobs: Vec<Blob>,
}

/// Something that a record names.
#[derive(Clone)]
struct Blob {
    digest: String,
    size: u64,
    place: Place,
}

/// Where it is.
#[derive(Clone)]
pub(super) enum Place {
    /// In memory, until it is written.
    Memory(Bytes),
    /// In a file.
    File(PathBuf),
}

impl History {
    /// That in `directory`, which needn't be there.
    pub(super) fn new(directory: PathBuf, keeps: Keeps) -> Self {
        let (happened, _) = broadcast::channel(EVENTS);
        Self { directory, keeps, read: OnceCell::new(), state: Mutex::default(), happened }
    }

    /// A build has begun.
    pub(super) fn begin(&self, record: api::BuildHistoryRecord) {
        self.lock().active.insert(record.r#ref.clone(), record.clone());
        self.tell(Happened::Started, record);
    }

    /// It is over: from now on it is found. It is written in the background.
    fn finish(self: &Arc<Self>, record: api::BuildHistoryRecord, blobs: Vec<Blob>) {
        let name = record.r#ref.clone();
        let kept = Kept { record: record.clone(), blobs };
        {
            let mut state = self.lock();
            state.active.remove(&name);
            state.over.insert(name.clone(), kept);
        }
        self.tell(Happened::Complete, record);
        let history = Arc::clone(self);
        tokio::spawn(async move {
            history.read().await;
            history.write(&name).await;
            history.forget_old().await;
        });
    }

    /// Sets whether one is kept for good.
    ///
    /// # Errors
    /// If it isn't there.
    pub(super) async fn pin(&self, name: &str, pinned: bool) -> Result<()> {
        self.read().await;
        let record = {
            let mut state = self.lock();
            let kept = state.over.get_mut(name).ok_or_else(|| missing(name))?;
            if kept.record.pinned == pinned {
                return Ok(());
            }
            kept.record.pinned = pinned;
            kept.record.generation += 1;
            kept.record.clone()
        };
        self.tell(Happened::Complete, record);
        self.write(name).await;
        Ok(())
    }

    /// Removes one.
    ///
    /// # Errors
    /// If it isn't there, or can't be removed.
    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        self.read().await;
        let gone = self.lock().over.remove(name);
        gone.ok_or_else(|| Error::not_found(format!("lease \"ref_{name}\": not found")))?;
        let gone = api::BuildHistoryRecord { r#ref: name.to_owned(), ..Default::default() };
        self.tell(Happened::Deleted, gone);
        disk::remove(self.directory.clone(), name.to_owned()).await
    }

    /// What it told, if it is over.
    pub(super) async fn told(&self, name: &str) -> Option<Result<Vec<api::StatusResponse>>> {
        self.read().await;
        let logs = self.lock().over.get(name)?.logs()?;
        Some(logs.bytes().await.map(|bytes| record::unframed(&bytes)))
    }

    /// What a record names by its digest: its size, and where it is.
    pub(super) async fn blob(&self, digest: &str) -> Option<(u64, Place)> {
        self.read().await;
        let state = self.lock();
        let mut blobs = state.over.values().flat_map(|kept| &kept.blobs);
        blobs.find(|blob| blob.digest == digest).map(|blob| (blob.size, blob.place.clone()))
    }

    /// Reads what earlier managers kept.
    async fn read(&self) {
        self.read
            .get_or_init(async || {
                let found = disk::read(self.directory.clone()).await;
                let mut state = self.lock();
                for (name, kept) in found {
                    // Of the same name, the later one is in memory.
                    state.over.entry(name).or_insert(kept);
                }
            })
            .await;
    }

    /// Makes what is kept of one durable, unless it is gone.
    async fn write(&self, name: &str) {
        let Some(kept) = self.lock().over.get(name).cloned() else { return };
        match disk::write(self.directory.clone(), kept.clone()).await {
            Ok(written) => {
                let is_there = match self.lock().over.get_mut(name) {
                    None => false,
                    // It was changed meanwhile, and is written again.
                    Some(now) if now.record != kept.record => true,
                    Some(now) => {
                        now.blobs = written;
                        true
                    }
                };
                if !is_there {
                    let _ = disk::remove(self.directory.clone(), name.to_owned()).await;
                }
            }
            Err(error) => tracing::warn!("a build's history can't be kept: {error}"),
        }
    }

    async fn forget_old(&self) {
        let old = self.lock().old(self.keeps, Timestamp::now());
        for name in old {
            // Someone else may have removed it.
            let _ = self.delete(&name).await;
        }
    }

    fn tell(&self, happened: Happened, record: api::BuildHistoryRecord) {
        // Nobody needs to listen.
        let _ = self.happened.send(event(happened, record));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Where there is what the build told.
    fn logs(&self) -> Option<Place> {
        let logs = self.record.logs.as_ref()?;
        let mut blobs = self.blobs.iter();
        blobs.find(|blob| blob.digest == logs.digest).map(|blob| blob.place.clone())
    }
}

impl State {
    /// Those that are kept no longer.
    fn old(&self, keeps: Keeps, now: Timestamp) -> Vec<String> {
        let mut ended: Vec<_> = self
            .over
            .values()
            .filter(|kept| !kept.record.pinned)
            .map(|kept| (kept.record.completed_at.as_ref().and_then(moment), &kept.record.r#ref))
            .collect();
        ended.sort_unstable_by(|one, other| other.cmp(one));
        let is_old = |ended: &Option<Timestamp>| {
            let age = |ended| Duration::try_from(now.duration_since(ended)).unwrap_or_default();
            ended.is_none_or(|ended| age(ended) > keeps.age)
        };
        let candidates = ended.iter().enumerate().skip(keeps.newest);
        candidates
            .filter(|(position, (ended, _))| *position >= MOST || is_old(ended))
            .map(|(_, (_, name))| (*name).clone())
            .collect()
    }
}

impl Blob {
    /// What is in memory.
    fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let size = bytes.len() as u64;
        Self { digest: digest(&bytes), size, place: Place::Memory(bytes) }
    }

    /// How a record names it.
    fn descriptor(&self, media_type: &str) -> api::Descriptor {
        api::Descriptor {
            media_type: media_type.to_owned(),
            digest: self.digest.clone(),
            size: self.size.cast_signed(),
            annotations: BTreeMap::new(),
        }
    }
}

impl Place {
    /// All of it.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(super) async fn bytes(self) -> Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes),
            Self::File(path) => {
                let read = tokio::fs::read(&path).await;
                read.map(Bytes::from)
                    .map_err(|error| Error::io(format_args!("read {}", path.display()), error))
            }
        }
    }
}

fn event(happened: Happened, record: api::BuildHistoryRecord) -> api::BuildHistoryEvent {
    api::BuildHistoryEvent { r#type: happened.into(), record: Some(record) }
}

fn missing(name: &str) -> Error {
    Error::not_found(format!("failed to retrieve ref {name}: file does not exist"))
}

#[cfg(test)]
mod tests {
    use super::super::wire::time;
    use super::*;

    fn record(name: &str, ended: Timestamp) -> api::BuildHistoryRecord {
        let ended = Some(time(ended));
        api::BuildHistoryRecord { r#ref: name.into(), completed_at: ended, ..Default::default() }
    }

    #[tokio::test]
    async fn what_was_built_is_found_by_the_next_manager() {
        let scratch = tempfile::tempdir().unwrap();
        let history = Arc::new(History::new(scratch.path().join("history"), Keeps::default()));
        let now = Timestamp::now();
        let blob = Blob::new("told");
        let digest = blob.digest.clone();
        let mut first = record("../first", now);
        first.logs = Some(blob.descriptor("x"));
        history.begin(record("../first", now));
        history.finish(first, vec![blob]);
        history.begin(record("second", now));
        history.finish(record("second", now), Vec::new());
        let written = || {
            let state = history.lock();
            let mut kept = state.over.values();
            let is_written = |kept: &Kept| {
                let name = disk::entry(&kept.record.r#ref);
                scratch.path().join("history").join(name).exists()
            };
            kept.all(is_written)
        };
        while !written() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        history.pin("second", true).await.unwrap();
        assert!(history.pin("third", true).await.is_err());

        let next = History::new(scratch.path().join("history"), Keeps::default());
        assert!(next.told("../first").await.is_some());
        let logs = next.lock().over["../first"].logs().unwrap();
        assert_eq!(logs.bytes().await.unwrap(), "told");
        assert_eq!(next.blob(&digest).await.unwrap().0, 4);
        assert!(next.lock().over["second"].record.pinned);
        next.delete("../first").await.unwrap();
        assert!(next.delete("../first").await.is_err());
        assert!(next.blob(&digest).await.is_none());
        let left = std::fs::read_dir(scratch.path().join("history")).unwrap().count();
        assert_eq!(left, 1);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_newest_are_kept_and_what_is_pinned() {
        let now = Timestamp::now();
        let mut state = State::default();
        for number in 0..70 {
            let ended = now - jiff::SignedDuration::from_hours(number);
            let mut record = record(&format!("{number}"), ended);
            record.pinned = number == 60;
            let kept = Kept { record, blobs: Vec::new() };
            state.over.insert(number.to_string(), kept);
        }
        let mut old = state.old(Keeps::default(), now);
        old.sort();
        let expected: Vec<_> =
            (50..70).filter(|number| *number != 60).map(|n| n.to_string()).collect();
        assert_eq!(old, expected);
    }
}
