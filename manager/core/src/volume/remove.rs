//! Taking volumes away.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{LOCAL, RECORDS, VolumeInfo, Volumes, blocking, remove_logged};
use crate::error::{Error, Result};
use crate::events::{Event, EventType};

/// What pruning took away.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The volumes' names.
    pub names: Vec<String>,
    /// The bytes of their files.
    pub bytes: u64,
}

/// What becomes of a volume that its plugin doesn't take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// It stays.
    No,
    /// It is forgotten here; the plugin may still have it.
    Yes,
}

impl Volumes {
    /// Takes the volume `name` away with all that is in it.
    ///
    /// # Errors
    /// Not found; conflict if a container uses it, running or not; what its plugin says.
    pub async fn remove(self: &Arc<Self>, name: &str, force: Force) -> Result<()> {
        let (volumes, name) = (Arc::clone(self), name.to_owned());
        blocking(move || volumes.remove_now(&name, force)).await
    }

    /// Takes away all volumes that no container uses and that `goes` chooses, as far as they are
    /// directories of ours: of others nothing would be gained.
    ///
    /// # Errors
    /// Conflict, in docker's words, while another does so; system if the store can't be read. A volume
    /// that can't be taken away stays.
    pub async fn prune(self: &Arc<Self>, goes: impl Fn(&VolumeInfo) -> bool) -> Result<Pruned> {
        let _alone = Pruning::begin(self)?;
        let mut pruned = Pruned::default();
        for volume in self.ours().await? {
            if !volume.users.is_empty() || !goes(&volume) {
                continue;
            }
            let size = self.size(&volume.name).await.unwrap_or_default();
            // One that has just come into use stays.
            match self.remove(&volume.name, Force::No).await {
                Ok(()) => {
                    pruned.names.push(volume.name);
                    pruned.bytes += size;
                }
                Err(error) => tracing::info!("{} stays: {error}", volume.name),
            }
        }
        let event = Event::now(EventType::Volume, "prune", "");
        self.events.publish(event.with("reclaimed", pruned.bytes.to_string()));
        Ok(pruned)
    }

    pub(super) fn remove_now(&self, name: &str, force: Force) -> Result<()> {
        let _turn = self.turns.take(name);
        let changes = self.lock();
        let record = self.store.get(&RECORDS, name)?;
        let users = self.uses.users(name);
        if !users.is_empty() {
            let users = users.join(", ");
            return Err(Error::conflict(format!("remove {name}: volume is in use - [{users}]")));
        }
        let driver = match record {
            Some(record) if record.is_local() => {
                self.store.write(|change| change.delete(&RECORDS, name))?;
                let aside = self.set_aside(name)?;
                drop(changes);
                // Large volumes take long; others go on meanwhile.
                remove_logged(&aside);
                self.announce(name, LOCAL, "destroy");
                return Ok(());
            }
            Some(record) => Some(record.driver),
            None => None,
        };
        drop(changes);
        self.remove_remote(name, driver, force)
    }

    /// Has a plugin take a volume away, which is looked for if nobody here has asked for it yet. Whoever
    /// begins to use it waits for our turn to end.
    fn remove_remote(&self, name: &str, driver: Option<String>, force: Force) -> Result<()> {
        let driver = driver.or_else(|| self.somewhere(name).map(|(driver, _)| driver));
        let driver =
            driver.ok_or_else(|| Error::not_found(format!("get {name}: no such volume")))?;
        match self.drivers.get(&driver).and_then(|remote| remote.remove(name)) {
            Err(error) if force == Force::Yes => {
                tracing::warn!(%error, volume = name, "forget a volume that its plugin may have");
            }
            outcome => {
                outcome.map_err(|error| error.while_doing(format!("remove {name}")))?;
            }
        }
        self.store.write(|change| change.delete(&RECORDS, name))?;
        self.announce(name, &driver, "destroy");
        Ok(())
    }
}

/// One who prunes, alone.
struct Pruning<'a>(&'a Volumes);

impl<'a> Pruning<'a> {
    fn begin(volumes: &'a Volumes) -> Result<Self> {
        if volumes.pruning.swap(true, Ordering::SeqCst) {
            return Err(Error::conflict("a prune operation is already running"));
        }
        Ok(Self(volumes))
    }
}

impl Drop for Pruning<'_> {
    fn drop(&mut self) {
        self.0.pruning.store(false, Ordering::SeqCst);
    }
}
