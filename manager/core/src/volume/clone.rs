//! Copies of volumes.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::driver::source;
use super::{RECORDS, VolumeInfo, VolumeRecord, Volumes, blocking, copy, name, random_name};
use crate::error::{Error, Result};
use crate::events::{Event, EventType};

/// What a copy of a volume is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloneAs {
    /// Its name; without one it is given a random one, and counts as anonymous.
    pub name: Option<String>,
    /// What its user says of it; none: what is said of the original.
    pub labels: Option<BTreeMap<String, String>>,
}

impl Volumes {
    /// Makes a new volume with all that the volume `name` has. Where the file system can, both share
    /// their data until one of them is changed. Containers may go on with the original meanwhile: each
    /// file is copied when it is come to.
    ///
    /// # Errors
    /// Not found; conflict if the new name is taken; invalid if the content is not this manager's.
    pub async fn clone_volume(self: &Arc<Self>, name: &str, clone: CloneAs) -> Result<VolumeInfo> {
        let (volumes, name) = (Arc::clone(self), name.to_owned());
        blocking(move || {
            let refused = |error: Error| error.while_doing(format!("clone {name}"));
            let (record, _held) = volumes.hold_to_look(&name, "a clone of it is being made")?;
            volumes.clone_now(&name, &record, clone).map_err(refused)
        })
        .await
    }

    fn clone_now(&self, from: &str, record: &VolumeRecord, clone: CloneAs) -> Result<VolumeInfo> {
        self.check_ours(record)?;
        if source(&record.options).is_some() {
            return Err(Error::invalid(
                "its options say what is mounted as it: only directories of tared's are cloned",
            ));
        }
        let anonymous = clone.name.is_none();
        let name = clone.name.unwrap_or_else(random_name);
        name::check(&name)?;
        self.check_free(&name)?;
        let fresh = self.fresh(&record.options)?;
        let failed = |error| Error::io(format!("open the volume {from}"), error);
        let original = File::open(self.content(from)).map_err(failed)?;
        File::open(fresh.content())
            .and_then(|copy| copy::tree(original.as_fd(), copy.as_fd(), None))
            .map_err(|error| Error::io(format!("copy the volume {from}"), error))?;
        fresh.sync()?;
        let _turn = self.turns.take(&name);
        let _changes = self.lock();
        self.check_free(&name)?;
        let labels = clone.labels.unwrap_or_else(|| record.labels.clone());
        let made = VolumeRecord::local(anonymous, labels, record.options.clone());
        fresh.put(&self.root.join(&name), false)?;
        // Without a record it is swept, at the next start.
        self.store.write(|change| change.put(&RECORDS, &name, &made))?;
        let event = Event::now(EventType::Volume, "create", &*name).with("driver", &*made.driver);
        self.events.publish(event.with("clonedFrom", from));
        Ok(self.info(name, made))
    }

    /// Whether a volume can be called so.
    pub(super) fn check_free(&self, name: &str) -> Result<()> {
        if self.uses.has_users(name) || self.store.get(&RECORDS, name)?.is_some() {
            return Err(Error::conflict(format!("there is a volume {name} already")));
        }
        Ok(())
    }
}
