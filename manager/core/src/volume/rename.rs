//! Another name for a volume.
//!
//! The records change first, in one transaction, and say where the directory may still be; then the
//! directory gets the name. Whoever opens the volumes after a crash in between does the rest.

use std::sync::Arc;

use super::{RECORDS, VolumeInfo, VolumeRecord, Volumes, blocking, name};
use crate::disk::sync_directory;
use crate::error::{Error, Result};
use crate::events::{Event, EventType};

impl Volumes {
    /// Calls the volume `old` `new` from now on. One that a container has, running or not, keeps its
    /// name: the container knows it by that.
    ///
    /// # Errors
    /// Not found; invalid for the new name, or if a plugin keeps the volume; conflict if it is in use
    /// or the name is.
    pub async fn rename(self: &Arc<Self>, old: &str, new: &str) -> Result<VolumeInfo> {
        let (volumes, old, new) = (Arc::clone(self), old.to_owned(), new.to_owned());
        blocking(move || volumes.rename_now(&old, &new)).await
    }

    fn rename_now(&self, old: &str, new: &str) -> Result<VolumeInfo> {
        let refused = |error: Error| error.while_doing(format!("rename {old}"));
        name::check(new).map_err(refused)?;
        if old == new {
            return Err(refused(Error::invalid("that is its name already")));
        }
        let _turns = self.turns.take_both(old, new);
        let _changes = self.lock();
        let record = self.record(old)?;
        self.check_ours(&record).map_err(refused)?;
        self.check_unused(old).map_err(refused)?;
        let is_taken = self.uses.has_users(new) || self.store.get(&RECORDS, new)?.is_some();
        if is_taken {
            return Err(refused(Error::conflict(format!("there is a volume {new} already"))));
        }
        let renamed =
            VolumeRecord { anonymous: false, renamed_from: Some(old.to_owned()), ..record.clone() };
        self.store.write(|change| {
            change.delete(&RECORDS, old)?;
            change.put(&RECORDS, new, &renamed)
        })?;
        if let Err(error) = self.move_directory(old, new) {
            self.store.write(|change| {
                change.delete(&RECORDS, new)?;
                change.put(&RECORDS, old, &record)
            })?;
            return Err(refused(error));
        }
        let settled = VolumeRecord { renamed_from: None, ..renamed };
        self.store.write(|change| change.put(&RECORDS, new, &settled))?;
        let event = Event::now(EventType::Volume, "rename", new).with("driver", &*settled.driver);
        self.events.publish(event.with("oldName", old));
        Ok(self.info(new.to_owned(), settled))
    }

    /// Ends what a crash broke off.
    pub(super) fn finish_renames(&self) -> Result<()> {
        for (name, record) in self.store.list(&RECORDS)? {
            let Some(old) = &record.renamed_from else { continue };
            if !self.root.join(&name).exists() && self.root.join(old).exists() {
                self.move_directory(old, &name)?;
            }
            let settled = VolumeRecord { renamed_from: None, ..record };
            self.store.write(|change| change.put(&RECORDS, &name, &settled))?;
        }
        Ok(())
    }

    fn move_directory(&self, old: &str, new: &str) -> Result<()> {
        std::fs::rename(self.root.join(old), self.root.join(new))
            .map_err(|error| Error::io(format!("move the directory of {old} to {new}"), error))?;
        sync_directory(&self.root)
    }

    /// Whether the volume is a directory of ours.
    pub(super) fn check_ours(&self, record: &VolumeRecord) -> Result<()> {
        if record.is_local() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the plugin {} keeps it, and plugins can't do that with volumes",
            record.driver
        )))
    }

    /// Whether nobody uses it, not even to look at it.
    pub(super) fn check_unused(&self, name: &str) -> Result<()> {
        let mut users = self.uses.users(name);
        users.extend(self.mounted().get(name).into_iter().flatten().cloned());
        users.sort();
        users.dedup();
        if users.is_empty() {
            return Ok(());
        }
        Err(Error::conflict(format!("volume is in use - [{}]", users.join(", "))))
    }
}
