//! Volumes: directories that outlive the containers that use them.
//!
//! Each is `volumes/<name>/_data` under the data root, with a record in the store. The directory is
//! made first and the record committed after it, with that of the container if a container asked
//! for it. A volume goes the other way: first its record, and then the directory, which has been
//! given another name by then. A directory without a record is left over from a crash and swept.
//!
//! Volumes of other drivers are their plugins': of those there is a record alone, of what was said when
//! they were made here.

mod clone;
mod copy;
mod create;
mod driver;
mod export;
mod fresh;
mod info;
mod list;
mod look;
mod mounted;
mod name;
mod plugin;
mod provide;
mod remove;
mod rename;
mod restore;
#[cfg(test)]
mod tests;
mod turns;
mod uses;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::events::{Event, EventType, Events};
use crate::snapshot::confined::Unpacker;
use crate::snapshot::{Limits, delete, quota};
use crate::store::{Store, Table};

use mounted::Mounted;
use plugin::Drivers;
use turns::Turns;
use uses::Uses;

pub use clone::CloneAs;
pub use copy::times;
pub use create::NewVolume;
pub use driver::{DriverConfig, LOCAL};
pub use info::VolumeInfo;
pub use list::Listed;
pub(crate) use look::Looked;
pub(crate) use mounted::Attached;
pub(crate) use name::check as check_name;
pub use plugin::Scope;
pub(crate) use provide::Volume;
pub use remove::{Force, Pruned};
pub use restore::{Devices, Restore};

/// What is kept of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct VolumeRecord {
    created: Timestamp,
    /// Whether nobody gave it a name.
    anonymous: bool,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// What its driver was told.
    #[serde(default)]
    options: BTreeMap<String, String>,
    /// Who keeps it.
    #[serde(default = "local")]
    driver: String,
    /// The name that its directory may still have.
    #[serde(default)]
    renamed_from: Option<String>,
}

fn local() -> String {
    LOCAL.to_owned()
}

const RECORDS: Table<VolumeRecord> = Table::new("volumes");

/// The directory of a volume's content, inside the volume's own.
const CONTENT: &str = "_data";

/// How the name of a directory begins that is about to go. No volume's name begins so.
const ASIDE: &str = ".removed-";

/// The volumes of one manager.
pub struct Volumes {
    root: PathBuf,
    store: Arc<Store>,
    events: Arc<Events>,
    drivers: Drivers,
    uses: Uses,
    /// Held for as long as it takes to look or to note something; who mounts a volume has its turn.
    mounted: Mutex<Mounted>,
    turns: Turns,
    /// What unpacks archives in a process of its own.
    unpacker: Option<Unpacker>,
    limits: Limits,
    /// How often something was held by who is no container.
    looks: AtomicU64,
    /// Whether someone takes away what nobody uses.
    pruning: AtomicBool,
    /// Held while a volume is made or taken away, so that nobody is given one that is on its way
    /// out. Who only reads doesn't need it.
    changes: Mutex<()>,
}

impl Volumes {
    /// Opens the volumes under the data root and sweeps directories that no record names. Blocks.
    ///
    /// # Errors
    /// System if the data root or the store can't be read.
    pub fn open(config: &Config, store: Arc<Store>, events: Arc<Events>) -> Result<Arc<Self>> {
        let root = config.data_root.join("volumes");
        std::fs::create_dir_all(&root)
            .map_err(|error| Error::io(format!("make the directory {}", root.display()), error))?;
        let volumes = Arc::new(Self {
            root,
            store,
            events,
            drivers: Drivers::new(config.plugins.clone()),
            uses: Uses::default(),
            mounted: Mutex::default(),
            turns: Turns::default(),
            unpacker: config.unpacker.clone().map(Unpacker),
            limits: config.layer_limits,
            looks: AtomicU64::new(0),
            pruning: AtomicBool::new(false),
            changes: Mutex::default(),
        });
        volumes.finish_renames()?;
        volumes.sweep()?;
        Ok(volumes)
    }

    /// Where the content of the volume `name` is.
    fn content(&self, name: &str) -> PathBuf {
        self.root.join(name).join(CONTENT)
    }

    /// Makes the directory of a volume, if it isn't there.
    fn make_directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.content(name);
        std::fs::create_dir_all(&path)
            .map_err(|error| Error::io(format!("make the volume {}", path.display()), error))?;
        Ok(path)
    }

    /// Gives a volume's directory another name, by which it can be deleted while a new volume takes
    /// its place.
    fn set_aside(&self, name: &str) -> Result<PathBuf> {
        let aside = self.root.join(format!("{ASIDE}{}", random_name()));
        match std::fs::rename(self.root.join(name), &aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("move the volume {name} out of the way"), error))
            }
            _ => Ok(aside),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mounted(&self) -> MutexGuard<'_, Mounted> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, name: &str, driver: &str, action: &str) {
        self.events.publish(Event::now(EventType::Volume, action, name).with("driver", driver));
    }

    /// The names of the drivers there are: ours, and the plugins that are in use.
    pub fn drivers(&self) -> Vec<String> {
        let mut names = self.drivers.used();
        names.push(LOCAL.to_owned());
        names.sort();
        names
    }

    fn sweep(&self) -> Result<()> {
        let records = self.store.list(&RECORDS)?;
        let known: HashSet<String> = records.into_iter().map(|(name, _)| name).collect();
        let entries = std::fs::read_dir(&self.root)
            .map_err(|error| Error::io(format!("read {}", self.root.display()), error))?;
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_none_or(|name| !known.contains(name)) {
                remove_logged(&entry.path());
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

/// Takes away a directory that no record names. What fails is swept at the next start.
fn remove_logged(path: &Path) {
    if let Err(error) = mounted::detach_in(path) {
        tracing::error!(path = %path.display(), %error, "unmount a volume; it stays");
        return;
    }
    quota::lift(&path.join(CONTENT));
    // A container may have nested directories in it deeper than std's way has stack for.
    if let Err(error) = delete::tree(path) {
        tracing::error!(path = %path.display(), %error, "remove the content of a volume");
    }
}

/// Runs what blocks for the disk on a thread of its own, to its end.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::system(format!("work on volumes: {error}"))))
}
