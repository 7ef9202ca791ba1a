//! All parts of the domain together, in the order in which they need each other.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::container::{Containers, Parts};
use crate::error::{Error, Result};
use crate::events::Events;
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
        let store = Arc::new(Store::open(&config.store_file())?);
        let events = Events::new();
        let images = {
            let (config, store, events) =
                (Arc::clone(&config), Arc::clone(&store), Arc::clone(&events));
            tokio::task::spawn_blocking(move || Images::open(&config, store, events))
                .await
                .map_err(|error| Error::system(format!("open the images: {error}")))??
        };
        let networks = Networks::open(&config, Arc::clone(&store)).await?;
        let volumes = {
            let (config, store, events) =
                (Arc::clone(&config), Arc::clone(&store), Arc::clone(&events));
            tokio::task::spawn_blocking(move || Volumes::open(&config, store, events))
                .await
                .map_err(|error| Error::system(format!("open the volumes: {error}")))??
        };
        let containers = Containers::open(Parts {
            config: Arc::clone(&config),
            store: Arc::clone(&store),
            events: Arc::clone(&events),
            images: Arc::clone(&images),
            networks: Arc::clone(&networks),
            volumes: Arc::clone(&volumes),
        })
        .await?;
        Ok(Self { config, store, events, images, networks, volumes, containers })
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
