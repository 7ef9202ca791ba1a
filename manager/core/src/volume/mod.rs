//! Volumes: directories that outlive the containers that use them.
//!
//! Each is `volumes/<name>/_data` under the data root, with a record in the store. The directory is
//! made first and the record committed with that of the container which asked for it; a directory
//! without a record is left over from a crash and swept.

mod copy;

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::snapshot::delete;
use crate::store::{Store, Table, Transaction};

/// What is kept of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// When it was made.
    pub created: Timestamp,
    /// Whether nobody gave it a name: it goes with its container.
    pub anonymous: bool,
}

const RECORDS: Table<VolumeRecord> = Table::new("volumes");

/// The directory of a volume's content, inside the volume's own.
const CONTENT: &str = "_data";

/// The volumes of one manager.
#[derive(Clone)]
pub(crate) struct Volumes {
    root: PathBuf,
    store: Arc<Store>,
}

/// A volume to be used.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) name: String,
    /// Its content.
    pub(crate) path: PathBuf,
    pub(crate) anonymous: bool,
    /// Made just now: it has no record yet, and goes if its container doesn't come to be.
    pub(crate) fresh: bool,
}

impl Volumes {
    /// Opens the volumes under the data root and sweeps directories that no record names. Blocks.
    pub(crate) fn open(config: &Config, store: Arc<Store>) -> Result<Self> {
        let volumes = Self { root: config.data_root.join("volumes"), store };
        std::fs::create_dir_all(&volumes.root).map_err(|error| {
            Error::io(format!("make the directory {}", volumes.root.display()), error)
        })?;
        volumes.sweep()?;
        Ok(volumes)
    }

    /// The volume `name`, made if there is none; without a name, a new one. Blocks.
    pub(crate) fn provide(&self, name: Option<&str>) -> Result<Volume> {
        let anonymous = name.is_none();
        let name = name.map_or_else(random_name, str::to_owned);
        let path = self.root.join(&name).join(CONTENT);
        let fresh = self.store.get(&RECORDS, &name)?.is_none();
        std::fs::create_dir_all(&path)
            .map_err(|error| Error::io(format!("make the volume {}", path.display()), error))?;
        Ok(Volume { name, path, anonymous, fresh })
    }

    /// Copies what an image has at a volume's place into the volume, if the volume is empty.
    pub(crate) fn fill(&self, volume: &Volume, from: BorrowedFd<'_>) -> Result<()> {
        let failed = |error| Error::io(format!("read {}", volume.path.display()), error);
        let mut entries = std::fs::read_dir(&volume.path).map_err(failed)?;
        if entries.next().is_some() {
            return Ok(());
        }
        copy::tree(from, &volume.path)
            .map_err(|error| Error::io(format!("fill the volume {}", volume.name), error))
    }

    /// Puts the record of a fresh volume into `change`.
    pub(crate) fn record(&self, change: &Transaction, volume: &Volume) -> Result<()> {
        if !volume.fresh {
            return Ok(());
        }
        let record = VolumeRecord { created: Timestamp::now(), anonymous: volume.anonymous };
        change.put(&RECORDS, &volume.name, &record)
    }

    /// Takes a volume's record away with `change`; its directory goes with [`Volumes::discard`].
    pub(crate) fn forget(&self, change: &Transaction, name: &str) -> Result<()> {
        change.delete(&RECORDS, name)
    }

    /// Takes away the directory of a volume that has no record (any more). Blocks.
    pub(crate) fn discard(&self, name: &str) -> Result<()> {
        remove(&self.root.join(name))
    }

    fn sweep(&self) -> Result<()> {
        let records = self.store.list(&RECORDS)?;
        let known: HashSet<String> = records.into_iter().map(|(name, _)| name).collect();
        let entries = std::fs::read_dir(&self.root)
            .map_err(|error| Error::io(format!("read {}", self.root.display()), error))?;
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_none_or(|name| !known.contains(name)) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

fn random_name() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

fn remove(path: &Path) -> Result<()> {
    // A container may have nested directories in it deeper than std's way has stack for.
    delete::tree(path).map_err(|error| Error::io(format!("remove {}", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_without_a_record_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::with_roots(directory.path(), directory.path());
        let store = Arc::new(Store::open(&config.store_file()).unwrap());
        let volumes = Volumes::open(&config, Arc::clone(&store)).unwrap();
        let kept = volumes.provide(Some("data")).unwrap();
        store.write(|change| volumes.record(change, &kept)).unwrap();
        let lost = volumes.provide(None).unwrap();
        assert!(lost.fresh && lost.path.is_dir());
        let volumes = Volumes::open(&config, store).unwrap();
        assert!(kept.path.is_dir() && !lost.path.exists());
        assert!(!volumes.provide(Some("data")).unwrap().fresh);
    }

    #[test]
    fn only_an_empty_volume_is_filled() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::with_roots(directory.path(), directory.path());
        let store = Arc::new(Store::open(&config.store_file()).unwrap());
        let volumes = Volumes::open(&config, store).unwrap();
        let image = directory.path().join("image");
        std::fs::create_dir_all(image.join("a/b")).unwrap();
        std::fs::write(image.join("a/file"), "content").unwrap();
        std::os::unix::fs::symlink("file", image.join("a/link")).unwrap();
        let volume = volumes.provide(None).unwrap();
        let from = std::fs::File::open(&image).unwrap();
        for _ in 0..2 {
            volumes.fill(&volume, std::os::fd::AsFd::as_fd(&from)).unwrap();
        }
        let link = std::fs::read_link(volume.path.join("a/link")).unwrap();
        assert_eq!(link, Path::new("file"));
        assert_eq!(std::fs::read_to_string(volume.path.join("a/file")).unwrap(), "content");
        assert!(volume.path.join("a/b").is_dir());
    }

    #[test]
    fn a_volume_goes_however_deep_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::with_roots(directory.path(), directory.path());
        let store = Arc::new(Store::open(&config.store_file()).unwrap());
        let volumes = Volumes::open(&config, store).unwrap();
        let volume = volumes.provide(None).unwrap();
        nest(&volume.path, 20_000);
        volumes.discard(&volume.name).unwrap();
        assert!(!volume.path.exists());
    }

    #[test]
    fn an_image_that_is_nested_too_deeply_fills_no_volume() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::with_roots(directory.path(), directory.path());
        let store = Arc::new(Store::open(&config.store_file()).unwrap());
        let volumes = Volumes::open(&config, store).unwrap();
        let image = directory.path().join("image");
        std::fs::create_dir(&image).unwrap();
        nest(&image, 20_000);
        let volume = volumes.provide(None).unwrap();
        let from = std::fs::File::open(&image).unwrap();
        let error = volumes.fill(&volume, std::os::fd::AsFd::as_fd(&from)).unwrap_err();
        assert!(error.to_string().contains("nested"), "{error}");
        delete::tree(&image).unwrap();
        volumes.discard(&volume.name).unwrap();
    }

    fn nest(top: &Path, depth: usize) {
        use rustix::fs::{Mode, OFlags};
        let open = |at: BorrowedFd<'_>| {
            rustix::fs::mkdirat(at, "d", Mode::RWXU).unwrap();
            rustix::fs::openat(at, "d", OFlags::DIRECTORY, Mode::empty()).unwrap()
        };
        let top = std::fs::File::open(top).unwrap();
        let mut here = open(std::os::fd::AsFd::as_fd(&top));
        for _ in 1..depth {
            here = open(std::os::fd::AsFd::as_fd(&here));
        }
    }
}
