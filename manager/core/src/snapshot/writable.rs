//! Containers' writable layers.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Gid, Mode, Uid};

use super::directory::{Directories, FILES, WORK, sync_directory};
use super::hold::Hold;
use super::layers::Layers;
use super::record::{WRITABLE, WritableRecord};
use super::{GraphDirs, Mount, Usage, usage};
use crate::error::{Error, Result};
use crate::image::{ChainId, Image};
use crate::store::Store;

/// The empty directory below a container whose image has no layers: overlay needs one.
const NOTHING: &str = "nothing";

/// All writable layers.
pub(super) struct WritableLayers {
    pub(super) directories: Arc<Directories>,
    store: Arc<Store>,
    pub(super) layers: Arc<Layers>,
    records: Mutex<HashMap<String, Writable>>,
    /// Options of every overlay here.
    options: Vec<String>,
}

struct Writable {
    record: WritableRecord,
    /// Keeps the layers below.
    _hold: Hold<ChainId>,
}

impl WritableLayers {
    pub(super) fn open(
        directories: Arc<Directories>,
        store: Arc<Store>,
        layers: Arc<Layers>,
    ) -> Result<Self> {
        let mut records = HashMap::new();
        for (key, record) in store.list(&WRITABLE)? {
            directories.reserve(record.directory);
            let hold = layers.hold(layers.chain(record.below));
            records.insert(key, Writable { record, _hold: hold });
        }
        let options = overlay_options();
        Ok(Self { directories, store, layers, records: Mutex::new(records), options })
    }

    pub(super) fn prepare(&self, key: &str, top: Option<ChainId>) -> Result<()> {
        if self.lock().contains_key(key) {
            return Err(Error::conflict(format!("the snapshot {key} exists already")));
        }
        let hold = self.layers.hold(self.layers.chain(top));
        let stack = self.layers.stack(top)?;
        let fresh = self.directories.fresh()?;
        fresh.add(WORK, 0o700)?;
        match stack.first() {
            Some(top) => imitate_root(&self.directories.files(*top), &fresh.files())?,
            None => fresh.add(NOTHING, 0o755)?,
        }
        for path in [fresh.files(), fresh.path().to_owned()] {
            sync_directory(&path)?;
        }
        self.directories.sync()?;
        let record = WritableRecord { directory: fresh.number(), below: top };
        self.store.write(|change| change.put(&WRITABLE, key, &record))?;
        self.lock().insert(key.to_owned(), Writable { record, _hold: hold });
        fresh.keep();
        Ok(())
    }

    pub(super) fn remove(&self, key: &str) -> Result<()> {
        let Some(directory) = self.lock().get(key).map(|writable| writable.record.directory) else {
            return Ok(());
        };
        self.store.write(|change| change.delete(&WRITABLE, key))?;
        self.lock().remove(key);
        let collected = self.layers.collect();
        self.directories.delete(directory)?;
        collected.map(drop)
    }

    pub(super) fn retain(&self, keep: &HashSet<String>) -> Result<()> {
        let doomed: Vec<String> =
            self.lock().keys().filter(|key| !keep.contains(*key)).cloned().collect();
        // To the end, then the first failure.
        let removed: Vec<Result<()>> = doomed.iter().map(|key| self.remove(key)).collect();
        removed.into_iter().collect()
    }

    pub(super) fn mounts(&self, key: &str) -> Result<Vec<Mount>> {
        let directories = self.directories(key)?;
        let mut options = vec![
            format!("lowerdir={}", directories.lower),
            format!("upperdir={}", directories.upper.display()),
            format!("workdir={}", directories.work.display()),
        ];
        options.extend_from_slice(&self.options);
        Ok(vec![Mount { kind: "overlay".to_owned(), source: "overlay".to_owned(), options }])
    }

    pub(super) fn directories(&self, key: &str) -> Result<GraphDirs> {
        let record = self.record(key)?;
        let own = self.directories.path(record.directory);
        let stack = self.layers.stack(record.below)?;
        let lower = match stack.as_slice() {
            [] => own.join(NOTHING).display().to_string(),
            stack => self.joined(stack),
        };
        Ok(GraphDirs { lower, ..graph_directories(&own) })
    }

    pub(super) fn image_directories(&self, image: &Image) -> Result<GraphDirs> {
        let stack = self.layers.stack(image.top())?;
        let Some((top, lower)) = stack.split_first() else {
            return Err(Error::not_found(format!("the image {} has no layers", image.id)));
        };
        let own = self.directories.path(*top);
        Ok(GraphDirs { lower: self.joined(lower), ..graph_directories(&own) })
    }

    pub(super) fn usage(&self, key: &str) -> Result<Usage> {
        let path = self.directories.files(self.record(key)?.directory);
        let measure = || usage::bytes(File::open(&path)?.as_fd());
        let bytes = measure()
            .map_err(|error| Error::io(format_args!("measure {}", path.display()), error))?;
        Ok(Usage { bytes })
    }

    /// The directories that records name.
    pub(super) fn named(&self) -> Vec<u64> {
        self.lock().values().map(|writable| writable.record.directory).collect()
    }

    fn joined(&self, stack: &[u64]) -> String {
        let paths: Vec<String> = stack
            .iter()
            .map(|number| self.directories.files(*number).display().to_string())
            .collect();
        paths.join(":")
    }

    pub(super) fn record(&self, key: &str) -> Result<WritableRecord> {
        let records = self.lock();
        let writable = records
            .get(key)
            .ok_or_else(|| Error::not_found(format!("the snapshot {key} does not exist")))?;
        Ok(writable.record.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Writable>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The directories of the snapshot `own`, without those below it.
fn graph_directories(own: &Path) -> GraphDirs {
    GraphDirs {
        lower: String::new(),
        upper: own.join(FILES),
        work: own.join(WORK),
        merged: own.join("merged"),
    }
}

/// What is seen as the root's owner and mode is the upper directory's: they are the image's.
fn imitate_root(original: &Path, made: &Path) -> Result<()> {
    let open = |path: &Path| -> Result<OwnedFd> {
        let opened = File::open(path).map(OwnedFd::from);
        opened.map_err(|error| Error::io(format_args!("open {}", path.display()), error))
    };
    let doing = || format!("make {} like {}", made.display(), original.display());
    let stat =
        rustix::fs::fstat(open(original)?).map_err(|errno| Error::io(doing(), errno.into()))?;
    let made = open(made)?;
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(&made, Some(owner), Some(group))
        .and_then(|()| rustix::fs::fchmod(&made, Mode::from_raw_mode(stat.st_mode & 0o7777)))
        .map_err(|errno| Error::io(doing(), errno.into()))
}

/// What a host may have on for all overlays and is not wanted here. With an index, lower directories
/// that many containers share can't be mounted; with redirects and files that hold only what is
/// said of them, a container's own layer doesn't say what it changed.
fn overlay_options() -> Vec<String> {
    let parameters = Path::new("/sys/module/overlay/parameters");
    let is_on = |name: &str| {
        std::fs::read_to_string(parameters.join(name)).is_ok_and(|value| value.trim() == "Y")
    };
    let mut options = Vec::new();
    if parameters.join("index").exists() {
        options.push("index=off".to_owned());
    }
    options.extend(
        ["redirect_dir", "metacopy"]
            .into_iter()
            .filter(|name| is_on(name))
            .map(|name| format!("{name}=off")),
    );
    options
}
