//! Taking volumes away.

use std::sync::Arc;

use super::{RECORDS, VolumeInfo, Volumes, blocking, remove_logged};
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

impl Volumes {
    /// Takes the volume `name` away with all that is in it.
    ///
    /// # Errors
    /// Not found; conflict if a container uses it, running or not.
    pub async fn remove(self: &Arc<Self>, name: &str) -> Result<()> {
        let (volumes, name) = (Arc::clone(self), name.to_owned());
        blocking(move || volumes.remove_now(&name)).await
    }

    /// Takes away all volumes that no container uses and that `goes` chooses.
    ///
    /// # Errors
    /// System if the store can't be read. A volume that can't be taken away stays.
    pub async fn prune(self: &Arc<Self>, goes: impl Fn(&VolumeInfo) -> bool) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for volume in self.list().await? {
            if !volume.users.is_empty() || !goes(&volume) {
                continue;
            }
            let size = self.size(&volume.name).await.unwrap_or_default();
            // One that has just come into use stays.
            match self.remove(&volume.name).await {
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

    fn remove_now(&self, name: &str) -> Result<()> {
        let changes = self.lock();
        self.record(name)?;
        let users = self.uses.users(name);
        if !users.is_empty() {
            let users = users.join(", ");
            return Err(Error::conflict(format!("remove {name}: volume is in use - [{users}]")));
        }
        self.store.write(|change| change.delete(&RECORDS, name))?;
        let aside = self.set_aside(name)?;
        drop(changes);
        // Large volumes take long; others go on meanwhile.
        remove_logged(&aside);
        self.announce(name, "destroy");
        Ok(())
    }
}
