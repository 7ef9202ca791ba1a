//! Contexts that clients have sent, kept so that the next time only what has changed is sent.
//!
//! What is kept is the last tree for each directory of a client and each choice of files in it. A tree
//! that a build has is never changed: whoever receives a newer one while the old one is in use gets it
//! as a new tree, which shares the files that are the same.

mod index;
mod place;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jiff::Timestamp;
use rustix::fs::{CWD, Dir, Mode, OFlags};
use serde::{Deserialize, Serialize};

pub(super) use index::{Index, Known};
pub(super) use place::Place;

use index::Header;

use super::files::target::remove_all;
use crate::error::{Error, Result};
use crate::tree::Tree;

/// All contexts that are kept. A copy is the same ones.
#[derive(Clone)]
pub struct ContextStore(Arc<Shared>);

struct Shared {
    directory: Arc<OwnedFd>,
    boot: String,
    /// Bytes that all of them may have, but for those in use.
    most: u64,
    ids: AtomicU64,
    kept: Mutex<HashMap<Key, Arc<Version>>>,
    /// Who is receiving: a session that asks for the same again waits for itself.
    under_way: Mutex<HashMap<(Key, String), Weak<Turn>>>,
}

/// Held by whoever receives.
type Turn = tokio::sync::Mutex<()>;

/// Which context: all hexadecimal digests, since clients say what is in them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    /// The directory of a client.
    pub(super) source: String,
    /// Which of its files.
    pub(super) choice: String,
}

/// What is told of a context.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) key: Key,
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) created: Timestamp,
}

/// A tree of files, and what is known of it.
pub(super) struct Version {
    pub(super) place: Place,
    about: About,
    used: Mutex<(Timestamp, u64)>,
}

/// A context that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextUsage {
    /// What it is called.
    pub id: String,
    /// What clients call the directory, such as `context`.
    pub name: String,
    /// Bytes on disk, about.
    pub size: u64,
    /// When it was first received.
    pub created: Timestamp,
    /// When it was last asked for.
    pub last_used: Timestamp,
    /// How often, since this process began.
    pub times_used: u64,
    /// Whether a build has it now.
    pub in_use: bool,
}

impl ContextStore {
    /// Those kept in `directory`, which it makes. All of them together may have `most` bytes: those
    /// that weren't used for longest go first, and those in use stay.
    ///
    /// # Errors
    /// If the directory can't be made or read.
    pub fn open(directory: &Path, most: u64) -> Result<Self> {
        let failed =
            |error| Error::io(format_args!("open the contexts in {}", directory.display()), error);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(CWD, directory, flags, Mode::empty());
        let opened = Arc::new(opened.map_err(|error| failed(error.into()))?);
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(failed)?;
        let boot = boot.trim().to_owned();
        let store = Self(Arc::new(Shared {
            directory: Arc::clone(&opened),
            boot,
            most,
            ids: AtomicU64::new(0),
            kept: Mutex::default(),
            under_way: Mutex::default(),
        }));
        for entry in Dir::read_from(&opened).map_err(|error| failed(error.into()))? {
            let entry = entry.map_err(|error| failed(error.into()))?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") && !store.take_over(name) {
                remove_all(opened.as_fd(), name).map_err(|error| failed(error.into()))?;
            }
        }
        store.sweep();
        Ok(store)
    }

    /// What is kept, by id.
    #[must_use]
    pub fn usage(&self) -> Vec<ContextUsage> {
        let kept = self.kept();
        let mut all: Vec<_> = kept.values().map(|version| version.usage()).collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }

    /// Forgets the one called `id`, unless a build has it. Whether it did.
    pub fn remove(&self, id: &str) -> bool {
        let mut kept = self.kept();
        let found = kept.iter().find(|(_, version)| version.place.id() == id && !is_used(version));
        let Some(key) = found.map(|(key, _)| key.clone()) else { return false };
        forget(&mut kept, &key);
        true
    }

    /// Waits until no other work for `session` receives `key`, for as long as what it gives is held.
    pub(super) async fn alone(&self, key: &Key, session: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut under_way = self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.retain(|_, lock| lock.strong_count() > 0);
            let place = under_way.entry((key.clone(), session.to_owned())).or_default();
            place.upgrade().unwrap_or_else(|| {
                let lock = Arc::new(Turn::new(()));
                *place = Arc::downgrade(&lock);
                lock
            })
        };
        lock.lock_owned().await
    }

    /// What is nearest to `key`: itself, or else another choice of files in the same directory.
    pub(super) fn nearest(&self, key: &Key) -> Option<Arc<Version>> {
        let kept = self.kept();
        let of_source = || {
            let same = kept.values().filter(|version| version.about.key.source == key.source);
            same.max_by_key(|version| version.about.size)
        };
        kept.get(key).or_else(of_source).cloned()
    }

    /// The files of `version`.
    pub(super) fn index(&self, version: &Version) -> Option<Index> {
        let (_, files) = Index::read(version.place.own())?;
        Index::of(&files)
    }

    /// Gives up `version`, so that it can be made into a newer one of `key`; not if somebody else has
    /// it, or it is of another key.
    pub(super) fn claim(&self, key: &Key, version: Arc<Version>) -> Result<Place, Arc<Version>> {
        let mut kept = self.kept();
        // One is ours, the other the store's.
        let is_ours = kept.get(key).is_some_and(|kept| Arc::ptr_eq(kept, &version))
            && Arc::strong_count(&version) == 2;
        if !is_ours {
            return Err(version);
        }
        drop(kept.remove(key));
        let claimed = Arc::try_unwrap(version).map(|version| version.place);
        claimed.inspect(|place| place.keep(false))
    }

    /// A place for a new tree.
    pub(super) fn place(&self) -> Result<Place> {
        let number = self.0.ids.fetch_add(1, Ordering::Relaxed);
        let now = Timestamp::now().as_nanosecond();
        Place::make(&self.0.directory, format!("{now:x}-{number}"))
    }

    /// Keeps the tree that was made in `place`, as the last one of `key`.
    pub(super) fn keep(
        &self,
        key: &Key,
        name: &str,
        place: Place,
        index: &Index,
    ) -> Result<Arc<Version>> {
        let sizes = index.0.iter().map(|known| {
            let size = u64::try_from(known.stat.size).unwrap_or(0);
            // An inode, and whole blocks.
            size.saturating_add(512).next_multiple_of(4096)
        });
        let size = sizes.fold(0, u64::saturating_add);
        let now = Timestamp::now();
        let about = About { key: key.clone(), name: name.to_owned(), size, created: now };
        let header = Header { boot: self.0.boot.clone(), about: about.clone() };
        index.write(&header, place.own())?;
        place.keep(true);
        let version = Arc::new(Version { place, about, used: Mutex::new((now, 0)) });
        {
            let mut kept = self.kept();
            forget(&mut kept, key);
            kept.insert(key.clone(), Arc::clone(&version));
        }
        self.sweep();
        Ok(version)
    }

    /// `version` for a build.
    pub(super) fn tree(&self, version: Arc<Version>, index: Arc<Index>) -> Result<Tree> {
        version.touch();
        let root = version.place.root()?;
        let held = Held { version: Some(version), store: self.clone() };
        Ok(Tree::new(root, held).with_contents(index))
    }

    /// Forgets those that are too much.
    fn sweep(&self) {
        let mut kept = self.kept();
        let mut all: u64 = kept.values().map(|version| version.about.size).sum();
        let mut unused: Vec<_> = kept
            .iter()
            .filter(|(_, version)| !is_used(version))
            .map(|(key, version)| (version.last_used(), version.about.size, key.clone()))
            .collect();
        unused.sort_by_key(|(used, _, _)| *used);
        for (_, size, key) in unused {
            if all <= self.0.most {
                break;
            }
            forget(&mut kept, &key);
            all = all.saturating_sub(size);
        }
    }

    /// Takes over what an earlier process has kept as `name`; not if it isn't whole.
    fn take_over(&self, name: &[u8]) -> bool {
        let Ok(id) = std::str::from_utf8(name) else { return false };
        let Some(place) = Place::open(&self.0.directory, id.to_owned()) else { return false };
        let Some((header, _)) = Index::read(place.own())
            .filter(|(header, files)| header.boot == self.0.boot && Index::of(files).is_some())
        else {
            return false;
        };
        let about = header.about;
        let (key, used) = (about.key.clone(), Mutex::new((about.created, 0)));
        let version = Arc::new(Version { place, about, used });
        let mut kept = self.kept();
        if kept.get(&key).is_some_and(|other| other.about.created > version.about.created) {
            version.place.keep(false);
        } else {
            forget(&mut kept, &key);
            kept.insert(key, version);
        }
        true
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Arc<Version>>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes `key` out; its files go when nobody has them any more.
fn forget(kept: &mut HashMap<Key, Arc<Version>>, key: &Key) {
    if let Some(version) = kept.remove(key) {
        version.place.keep(false);
    }
}

/// Whether anybody but the store has it.
fn is_used(version: &Arc<Version>) -> bool {
    Arc::strong_count(version) > 1
}

impl Version {
    fn last_used(&self) -> Timestamp {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn touch(&self) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = (Timestamp::now(), used.1 + 1);
    }

    fn usage(self: &Arc<Self>) -> ContextUsage {
        let (last_used, times_used) = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let About { name, size, created, .. } = self.about.clone();
        let (id, in_use) = (self.place.id().to_owned(), is_used(self));
        ContextUsage { id, name, size, created, last_used, times_used, in_use }
    }
}

/// A tree that a build has. When it gives it back, it may be too much.
struct Held {
    version: Option<Arc<Version>>,
    store: ContextStore,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.version = None;
        self.store.sweep();
    }
}
