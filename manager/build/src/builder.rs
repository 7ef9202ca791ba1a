//! What all builds of one manager share.

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use tare_core::Engine;

use crate::cache::Cache;
use crate::classic;
use crate::error::{Error, Result};
use crate::session::{ContextStore, Sessions};
use crate::settings::Settings;

/// Bytes of the contexts of clients that are kept.
const MOST_CONTEXTS: u64 = 4 << 30;

/// The directory for sockets of agents.
const AGENTS: &str = "agents";

/// What all builds of one manager share.
pub struct Builder {
    /// Images, layers, commands.
    pub engine: Arc<Engine>,
    /// What the machine's owner says.
    pub settings: Settings,
    /// What is kept of earlier builds.
    pub cache: Arc<Cache>,
    /// The clients.
    pub sessions: Sessions,
    /// What they have sent.
    pub contexts: ContextStore,
    directory: PathBuf,
}

impl Builder {
    /// Opens what is kept of earlier builds.
    ///
    /// # Errors
    /// The records or the directory can't be read.
    pub async fn open(engine: Arc<Engine>, settings: Settings) -> Result<Arc<Self>> {
        let directory = engine.config.data_root.join("builds");
        let making = directory.clone();
        let root = engine.config.data_root.clone();
        let swept = tokio::task::spawn_blocking(move || classic::Scratch::sweep(&root));
        swept.await.map_err(|error| Error::system(format!("open the builds: {error}")))??;
        let made = tokio::task::spawn_blocking(move || -> std::io::Result<u64> {
            let mut make = std::fs::DirBuilder::new();
            make.recursive(true).mode(0o700).create(&making)?;
            // What a crash left there is of no use.
            let agents = making.join(AGENTS);
            match std::fs::remove_dir_all(&agents) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => make.create(&agents)?,
            }
            let disk = rustix::fs::statvfs(&making)?;
            Ok(disk.f_blocks.saturating_mul(disk.f_frsize))
        });
        let disk = made
            .await
            .map_err(|error| Error::system(format!("open the builds: {error}")))?
            .map_err(|error| {
                Error::io(format!("make the directory {}", directory.display()), error)
            })?;
        let rules = settings.collection.rules(disk);
        let contexts = ContextStore::open(&directory.join("contexts"), MOST_CONTEXTS)?;
        let mounts = directory.join("mounts");
        let cache = Cache::open(Arc::clone(&engine), &mounts, contexts.clone(), rules).await?;
        let (cache, sessions) = (Arc::new(cache), Sessions::default());
        Ok(Arc::new(Self { engine, settings, cache, sessions, contexts, directory }))
    }

    /// A directory for sockets of agents.
    pub(crate) fn agents(&self) -> PathBuf {
        self.directory.join(AGENTS)
    }
}
