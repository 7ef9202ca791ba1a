//! Making volumes for users. Those for containers are in `provide`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{
    DriverConfig, RECORDS, VolumeInfo, VolumeRecord, Volumes, blocking, name, random_name,
    remove_logged,
};
use crate::error::Result;

/// A volume to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewVolume {
    /// Its name; without one it is given a random one, and counts as anonymous.
    pub name: Option<String>,
    /// What its user says of it.
    pub labels: BTreeMap<String, String>,
    /// How it is made.
    pub driver: DriverConfig,
}

impl Volumes {
    /// Makes a volume. One of that name that is there already is left as it is.
    ///
    /// # Errors
    /// Invalid for the name or the driver's options, not found for the driver.
    pub async fn create(self: &Arc<Self>, new: NewVolume) -> Result<VolumeInfo> {
        let volumes = Arc::clone(self);
        blocking(move || volumes.create_now(new)).await
    }

    fn create_now(&self, new: NewVolume) -> Result<VolumeInfo> {
        let anonymous = new.name.is_none();
        let name = new.name.unwrap_or_else(random_name);
        name::check(&name)?;
        new.driver.check().map_err(|error| error.while_doing(format!("create {name}")))?;
        let _changes = self.lock();
        if let Some(record) = self.store.get(&RECORDS, &name)? {
            return Ok(self.info(name, record));
        }
        self.make_directory(&name)?;
        let (labels, options) = (new.labels, new.driver.options);
        let record = VolumeRecord { created: Timestamp::now(), anonymous, labels, options };
        if let Err(error) = self.store.write(|change| change.put(&RECORDS, &name, &record)) {
            // A container that is being made may have it already.
            if !self.uses.has_users(&name) {
                remove_logged(&self.root.join(&name));
            }
            return Err(error);
        }
        self.announce(&name, "create");
        Ok(self.info(name, record))
    }
}
