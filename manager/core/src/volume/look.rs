//! Volumes that are looked into by who is no container: they are mounted for as long as that takes, and
//! nobody takes them away.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Attached, VolumeRecord, Volumes};
use crate::error::Result;

/// Volumes that are held, and mounted, until this is dropped.
pub(crate) struct Looked {
    volumes: Arc<Volumes>,
    user: String,
    pub(crate) attached: Attached,
}

impl Volumes {
    /// Mounts the volumes `names` as the container `of` would have them, as far as they are to be
    /// mounted at all. Blocks.
    ///
    /// # Errors
    /// As [`Volumes::mount`]; nothing is mounted then.
    pub(crate) fn mount_to_look(self: &Arc<Self>, of: &str, names: &[String]) -> Result<Looked> {
        let count = self.looks.fetch_add(1, Ordering::Relaxed);
        let user = format!("{of}-look-{}-{count}", std::process::id());
        // From here on it is taken back.
        let volumes = Arc::clone(self);
        let mut looked = Looked { volumes, user, attached: Attached::default() };
        looked.attached = self.mount(&looked.user, names)?;
        Ok(looked)
    }

    /// The record of the volume `name`, which nobody takes away until the second is dropped. `why` is
    /// told to whoever tries.
    pub(super) fn hold_to_look(
        self: &Arc<Self>,
        name: &str,
        why: &str,
    ) -> Result<(VolumeRecord, Looked)> {
        let _changes = self.lock();
        let record = self.record(name)?;
        let count = self.looks.fetch_add(1, Ordering::Relaxed);
        let user = format!("{why} ({count})");
        self.uses.add(name, &user);
        let volumes = Arc::clone(self);
        Ok((record, Looked { volumes, user, attached: Attached::default() }))
    }

    /// Mounts a volume that is held, if it is to be mounted.
    pub(super) fn mount_held(&self, held: &mut Looked, name: &str) -> Result<()> {
        held.attached = self.mount(&held.user, &[name.to_owned()])?;
        Ok(())
    }
}

impl Drop for Looked {
    fn drop(&mut self) {
        self.volumes.uses.end(&self.user);
        if !self.volumes.is_mounted_for(&self.user) {
            return;
        }
        let (volumes, user) = (Arc::clone(&self.volumes), std::mem::take(&mut self.user));
        let unmount = move || {
            if let Err(error) = volumes.unmount(&user) {
                tracing::error!(%error, "unmount a volume that was looked into");
            }
        };
        // A plugin is waited for where that keeps nobody else from working.
        match self.volumes.drivers.runtime() {
            Some(runtime) => drop(runtime.spawn_blocking(unmount)),
            None => unmount(),
        }
    }
}
