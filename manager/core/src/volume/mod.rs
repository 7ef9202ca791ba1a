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
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
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
}
