//! All parts of the domain together, in the order in which they need each other.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use crate::build::Builds;
use crate::config::Config;
use crate::container::{Containers, Parts};
use crate::disk::sync_directory;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::host::System;
use crate::ids;
use crate::image::Images;
use crate::network::Networks;
use crate::store::Store;
use crate::volume::Volumes;

/// The domain, open for use.
pub struct Engine {
    /// Settings.
    pub config: Arc<Config>,
    /// Records.
    pub store: Arc<Store>,
    /// What happens.
    pub events: Arc<Events>,
    /// Images and snapshots.
    pub images: Arc<Images>,
    /// Networks.
    pub networks: Arc<Networks>,
    /// Volumes.
    pub volumes: Arc<Volumes>,
    /// Containers.
    pub containers: Arc<Containers>,
    /// What builds work in.
    pub builds: Arc<Builds>,
}

impl Engine {
    /// Opens everything under the roots of `config`, taking over what an earlier manager left.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::Kind::Unavailable) if another manager has the data root.
    pub async fn open(config: Config) -> Result<Self> {
        let config = Arc::new(config);
        for root in [&config.data_root, &config.exec_root, &config.socket_directory()] {
            make_root(root)?;
        }
        refuse_without_records(&config)?;
        if let Some(id_map) = &config.id_map {
            ids::probe(id_map, &config.data_root, System::read().kernel_version())?;
            ids::passage::open(id_map, &config.exec_root)?;
        }
        let store = Arc::new(Store::open(&config.store_file())?);
        let events = Events::new();
        let images = {
            let (config, store, events) =
                (Arc::clone(&config), Arc::clone(&store), Arc::clone(&events));
            tokio::task::spawn_blocking(move || Images::open(&config, store, events))
                .await
                .map_err(|error| Error::system(format!("open the images: {error}")))??
        };
        let networks = Networks::open(&config, Arc::clone(&store), Arc::clone(&events)).await?;
        let volumes = {
            let (config, store, events) =
                (Arc::clone(&config), Arc::clone(&store), Arc::clone(&events));
            tokio::task::spawn_blocking(move || Volumes::open(&config, store, events))
                .await
                .map_err(|error| Error::system(format!("open the volumes: {error}")))??
        };
        // From here on records name what is below these, and they must be there when it is.
        make_root(&config.data_root.join("containers"))?;
        for path in config.data_root.ancestors().take(2) {
            sync_directory(path)?;
        }
        let containers = Containers::open(Parts {
            config: Arc::clone(&config),
            store: Arc::clone(&store),
            events: Arc::clone(&events),
            images: Arc::clone(&images),
            networks: Arc::clone(&networks),
            volumes: Arc::clone(&volumes),
        })
        .await?;
        let builds = Builds::new(Arc::clone(&images), Arc::clone(&containers));
        Ok(Self { config, store, events, images, networks, volumes, containers, builds })
    }
}

/// Without records or a copy of them, all that is in the data root would be nobody's, and be swept.
/// They can't have been lost by a power cut: they are made before anything else.
fn refuse_without_records(config: &Config) -> Result<()> {
    let records = config.store_file();
    if records.metadata().is_ok_and(|file| file.len() > 0) || Store::is_restorable(&records) {
        return Ok(());
    }
    let is_used = |name: &&&str| {
        let entries = std::fs::read_dir(config.data_root.join(name));
        entries.is_ok_and(|mut entries| entries.next().is_some())
    };
    match ["containers", "volumes", "snapshots", "blobs/sha256"].iter().find(is_used) {
        None => Ok(()),
        Some(used) => Err(Error::system(format!(
            "the records {} are missing or empty, but there is something in {used} beside them: \
             put the file back from a backup, or remove the whole of {} to begin anew",
            records.display(),
            config.data_root.display()
        ))),
    }
}

/// What is below belongs to root alone; a container's user must find no way through it.
fn make_root(root: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(root)
        .map_err(|error| Error::io(format!("make the directory {}", root.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_without_records_is_not_swept() {
        let root = tempfile::tempdir().unwrap();
        let config = Config::with_roots(root.path(), &root.path().join("run"));
        refuse_without_records(&config).unwrap();
        std::fs::create_dir_all(root.path().join("volumes/kept")).unwrap();
        let error = refuse_without_records(&config).unwrap_err().to_string();
        assert!(error.contains("volumes") && error.contains("backup"), "{error}");
        std::fs::write(config.store_file(), "").unwrap();
        refuse_without_records(&config).unwrap_err();
        std::fs::write(config.store_file(), "records").unwrap();
        refuse_without_records(&config).unwrap();
    }
}
