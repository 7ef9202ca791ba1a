//! Directories of cache mounts: they outlive the commands that write in them, and other builds see
//! them. Who may use one at the same time is for each mount to say.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use tare_core::store::{Store, Table};
use tare_dockerfile::instruction::{Owner, Sharing};
use tokio::sync::Notify;

use super::usage::{Usage, UsageKind};
use crate::error::{Error, Result};

/// Directories of cache mounts, by their numbers.
const MOUNTS: Table<Record> = Table::new("build-mounts");
/// The mode of a directory that nobody has said another of.
const MODE: u32 = 0o755;

/// What a directory is.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// What mounts call it, with what it began with.
    id: String,
    created: Timestamp,
    last_used: Timestamp,
    times_used: u64,
    size: u64,
}

/// A mount that wants a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheMount {
    /// What it is called, with all that says what it begins with.
    pub(crate) id: String,
    /// Who may use it at the same time.
    pub(crate) sharing: Sharing,
    /// Whom it belongs to when it is made.
    pub(crate) owner: Owner,
}

/// A directory that a command uses. Dropped, the next one may have it.
pub(crate) struct CacheDirectory {
    /// It.
    pub(crate) root: OwnedFd,
    /// Nothing has been put in it yet: call [`Self::is_filled`] when that has been done.
    pub(crate) is_new: bool,
    used: Use,
}

/// A directory is in use. Dropped, it is free again.
struct Use {
    mounts: CacheMounts,
    number: u64,
}

/// All of them.
#[derive(Clone)]
pub(crate) struct CacheMounts(Arc<Shared>);

struct Shared {
    directory: PathBuf,
    store: Arc<Store>,
    state: Mutex<State>,
    /// Told when a directory is free.
    free: Notify,
}

#[derive(Default)]
struct State {
    last: u64,
    directories: BTreeMap<u64, Directory>,
}

struct Directory {
    record: Record,
    users: usize,
    /// The one that has it wants no other.
    alone: bool,
    /// What it begins with is in it.
    filled: bool,
}

/// Which directory a mount gets.
enum Choice {
    This(u64),
    New,
    /// It has to wait.
    None,
}

impl CacheMounts {
    /// Those below `directory`; what no record names goes. Blocks.
    pub(super) fn open(directory: &Path, store: Arc<Store>) -> Result<Self> {
        let failed = |error| Error::io(format!("open {}", directory.display()), error);
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let mut state = State::default();
        for (name, record) in store.list(&MOUNTS)? {
            let there = directory.join(&name).is_dir();
            match name.parse() {
                Ok(number) if there => {
                    state.last = state.last.max(number);
                    let free = Directory { record, users: 0, alone: false, filled: true };
                    state.directories.insert(number, free);
                }
                _ => store.write(|change| change.delete(&MOUNTS, &name))?,
            }
        }
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if !number.is_some_and(|number| state.directories.contains_key(&number)) {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            }
        }
        let (directory, state) = (directory.to_owned(), Mutex::new(state));
        Ok(Self(Arc::new(Shared { directory, store, state, free: Notify::new() })))
    }

    /// The directory for a mount; waits for it where it has to.
    ///
    /// # Errors
    /// A new one can't be made.
    pub(crate) async fn take(&self, mount: &CacheMount) -> Result<CacheDirectory> {
        loop {
            // Made before the look, so that what becomes free in between is noticed.
            let freed = self.0.free.notified();
            let taken = {
                let mut state = self.lock();
                match state.choose(mount) {
                    Choice::This(number) => Some(state.take(number, mount.sharing)),
                    Choice::New => Some(state.add(mount)),
                    Choice::None => None,
                }
            };
            match taken {
                Some(number) => return self.open_taken(number, mount.owner).await,
                None => freed.await,
            }
        }
    }

    async fn open_taken(&self, number: u64, owner: Owner) -> Result<CacheDirectory> {
        // Given back in any case from here on.
        let used = Use { mounts: self.clone(), number };
        let is_new = self.lock().directories.get(&number).is_none_or(|taken| !taken.filled);
        let path = self.path(number);
        let opened = tokio::task::spawn_blocking(move || open(&path, is_new, owner)).await;
        let root = opened
            .map_err(|error| Error::system(format!("open a cache mount: {error}")))?
            .map_err(|error| Error::io("open the directory of a cache mount", error))?;
        Ok(CacheDirectory { root, is_new, used })
    }

    /// Bytes of the disk that are free.
    pub(super) fn free_space(&self) -> Result<u64> {
        let disk = rustix::fs::statvfs(&self.0.directory)
            .map_err(|error| Error::io("look at the disk", error.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// What there is.
    pub(super) fn usage(&self) -> Vec<(u64, Usage)> {
        let state = self.lock();
        let all = state.directories.iter().map(|(number, directory)| {
            let record = &directory.record;
            let usage = Usage {
                id: super::settle::id_of(
                    super::KeyOf::new("mount").with("n", number.to_le_bytes()).key(),
                ),
                mutable: true,
                in_use: directory.users > 0,
                size: record.size,
                parents: Vec::new(),
                created: record.created,
                last_used: Some(record.last_used),
                times_used: record.times_used,
                description: format!("cached mount {} from exec", record.id),
                kind: UsageKind::CacheMount,
                shared: false,
            };
            (*number, usage)
        });
        all.collect()
    }

    /// Deletes a directory that nobody uses; false: somebody does, or it is gone.
    pub(super) async fn remove(&self, number: u64) -> Result<bool> {
        {
            let mut state = self.lock();
            if state.directories.get(&number).is_none_or(|directory| directory.users > 0) {
                return Ok(false);
            }
            state.directories.remove(&number);
        }
        let (path, store) = (self.path(number), Arc::clone(&self.0.store));
        let delete = move || -> Result<()> {
            store.write(|change| change.delete(&MOUNTS, &number.to_string()))?;
            fs::remove_dir_all(&path)
                .map_err(|error| Error::io(format!("delete {}", path.display()), error))
        };
        tokio::task::spawn_blocking(delete)
            .await
            .map_err(|error| Error::system(format!("delete a cache mount: {error}")))??;
        Ok(true)
    }

    /// Measures what was used, and writes down that it was; nobody waits for it.
    fn note(&self, number: u64) {
        let mounts = self.clone();
        let note = move || -> Result<()> {
            let size = size_of(&mounts.path(number))
                .map_err(|error| Error::io("measure a cache mount", error))?;
            let record = {
                let mut state = mounts.lock();
                let Some(directory) = state.directories.get_mut(&number) else { return Ok(()) };
                directory.record.size = size;
                directory.record.clone()
            };
            mounts.0.store.write(|change| change.put(&MOUNTS, &number.to_string(), &record))?;
            Ok(())
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn_blocking(move || {
            if let Err(error) = note() {
                tracing::warn!(%error, "it is not known how large a cache mount is");
            }
        });
    }

    fn release(&self, number: u64) {
        if let Some(directory) = self.lock().directories.get_mut(&number) {
            directory.users = directory.users.saturating_sub(1);
            directory.alone &= directory.users > 0;
        }
        self.0.free.notify_waiters();
        self.note(number);
    }

    fn path(&self, number: u64) -> PathBuf {
        self.0.directory.join(number.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn choose(&self, mount: &CacheMount) -> Choice {
        let mut same = self.directories.iter().filter(|(_, there)| there.record.id == mount.id);
        match mount.sharing {
            // Those of private mounts are beside the first.
            Sharing::Private => match same.find(|(_, there)| there.users == 0) {
                Some((number, _)) => Choice::This(*number),
                None => Choice::New,
            },
            Sharing::Locked => match same.next() {
                Some((number, first)) if first.users == 0 => Choice::This(*number),
                Some(_) => Choice::None,
                None => Choice::New,
            },
            Sharing::Shared => match same.next() {
                // Until what it begins with is in it, it is of no use to others.
                Some((_, first)) if first.alone || (!first.filled && first.users > 0) => {
                    Choice::None
                }
                Some((number, _)) => Choice::This(*number),
                None => Choice::New,
            },
        }
    }

    fn take(&mut self, number: u64, sharing: Sharing) -> u64 {
        if let Some(directory) = self.directories.get_mut(&number) {
            directory.users += 1;
            directory.alone = sharing != Sharing::Shared;
            directory.record.last_used = Timestamp::now();
            directory.record.times_used += 1;
        }
        number
    }

    fn add(&mut self, mount: &CacheMount) -> u64 {
        self.last += 1;
        let now = Timestamp::now();
        let id = mount.id.clone();
        let record = Record { id, created: now, last_used: now, times_used: 0, size: 0 };
        let directory = Directory { record, users: 0, alone: false, filled: false };
        self.directories.insert(self.last, directory);
        self.take(self.last, mount.sharing)
    }
}

impl CacheDirectory {
    /// What it begins with is in it now.
    pub(crate) fn is_filled(&mut self) {
        self.is_new = false;
        if let Some(directory) = self.used.mounts.lock().directories.get_mut(&self.used.number) {
            directory.filled = true;
        }
        self.used.mounts.0.free.notify_waiters();
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.mounts.release(self.number);
    }
}

/// Opens a directory; one that nothing was put in is made anew.
fn open(path: &Path, is_new: bool, owner: Owner) -> std::io::Result<OwnedFd> {
    if is_new {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir(path)?,
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(path, flags, Mode::empty())?;
    if is_new {
        let file = File::from(root);
        std::os::unix::fs::fchown(
            &file,
            Some(owner.user.unwrap_or(0)),
            Some(owner.group.unwrap_or(0)),
        )?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(owner.mode.unwrap_or(MODE)))?;
        return Ok(file.into());
    }
    Ok(root)
}

/// Bytes of the disk that all below a path takes.
fn size_of(path: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut size = 0;
    let mut ahead = vec![path.to_owned()];
    while let Some(directory) = ahead.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // What a command deletes meanwhile takes nothing.
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            size += metadata.blocks() * 512;
            if metadata.is_dir() {
                ahead.push(entry.path());
            }
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn open_in(root: &Path) -> CacheMounts {
        let store = Arc::new(Store::open(&root.join("state")).unwrap());
        CacheMounts::open(&root.join("mounts"), store).unwrap()
    }

    fn mount(id: &str, sharing: Sharing) -> CacheMount {
        CacheMount { id: id.to_owned(), sharing, owner: Owner::default() }
    }

    async fn filled(mounts: &CacheMounts, mount: &CacheMount) -> CacheDirectory {
        let mut taken = mounts.take(mount).await.unwrap();
        taken.is_filled();
        taken
    }

    #[tokio::test]
    async fn who_may_use_one_at_the_same_time_is_as_it_was_said() {
        let root = tempfile::tempdir().unwrap();
        let mounts = open_in(root.path());
        let shared = mount("a", Sharing::Shared);
        let first = filled(&mounts, &shared).await;
        let second = mounts.take(&shared).await.unwrap();
        assert_eq!((first.used.number, second.is_new), (second.used.number, false));
        let private = mounts.take(&mount("a", Sharing::Private)).await.unwrap();
        assert_ne!(private.used.number, first.used.number);
        let locked = mount("a", Sharing::Locked);
        let wait = || timeout(Duration::from_millis(20), mounts.take(&locked));
        assert!(wait().await.is_err());
        drop(first);
        assert!(wait().await.is_err());
        drop(second);
        let alone = wait().await.unwrap().unwrap();
        let other = mounts.take(&mount("b", Sharing::Locked)).await.unwrap();
        assert_ne!(other.used.number, alone.used.number);
        assert!(timeout(Duration::from_millis(20), mounts.take(&shared)).await.is_err());
    }

    #[tokio::test]
    async fn what_was_not_filled_is_filled_by_the_next() {
        let root = tempfile::tempdir().unwrap();
        let mounts = open_in(root.path());
        let shared = mount("a", Sharing::Shared);
        let first = mounts.take(&shared).await.unwrap();
        assert!(first.is_new);
        // A second one waits until it is decided what is in it.
        let mut second = Box::pin(mounts.take(&shared));
        assert!(timeout(Duration::from_millis(20), &mut second).await.is_err());
        drop(first);
        assert!(second.await.unwrap().is_new);
    }

    #[tokio::test]
    async fn they_belong_to_whom_was_said_and_are_there_again_after_a_start() {
        use std::os::unix::fs::MetadataExt;
        let root = tempfile::tempdir().unwrap();
        let owner = Owner { user: Some(7), group: Some(8), mode: Some(0o1777) };
        let mut wanted = mount("a", Sharing::Shared);
        wanted.owner = owner;
        {
            let mounts = open_in(root.path());
            let mut taken = mounts.take(&wanted).await.unwrap();
            let metadata = File::from(taken.root.try_clone().unwrap()).metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (7, 8, 0o1777));
            taken.is_filled();
            let number = taken.used.number;
            drop(taken);
            // It is written down by then.
            while mounts.0.store.get(&MOUNTS, &number.to_string()).unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        std::fs::create_dir(root.path().join("mounts/77")).unwrap();
        let store = loop {
            match Store::open(&root.path().join("state")) {
                Ok(store) => break store,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let mounts = CacheMounts::open(&root.path().join("mounts"), Arc::new(store)).unwrap();
        assert!(!root.path().join("mounts/77").exists());
        let taken = mounts.take(&wanted).await.unwrap();
        assert!(!taken.is_new);
        let number = taken.used.number;
        assert!(!mounts.remove(number).await.unwrap());
        drop(taken);
        assert!(mounts.remove(number).await.unwrap());
        assert!(!root.path().join("mounts").join(number.to_string()).exists());
    }
}
