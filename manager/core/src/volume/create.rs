//! Making volumes, for users and for containers; what containers get is in `provide`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::driver::{DriverConfig, LOCAL, most};
use super::plugin::Told;
use super::{
    RECORDS, VolumeInfo, VolumeRecord, Volumes, blocking, name, random_name, remove_logged,
};
use crate::error::{Error, Result};
use crate::plugin::Patience;
use crate::snapshot::quota;

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

/// A volume that is there.
pub(super) struct Known {
    pub(super) record: VolumeRecord,
    /// What its plugin says of it, if it has one.
    pub(super) told: Option<Told>,
}

impl Volumes {
    /// Makes a volume. One of that name that is there already is left as it is.
    ///
    /// # Errors
    /// Invalid for the name or the driver's options, not found for the driver, conflict if another
    /// driver has a volume of this name; what a plugin says.
    pub async fn create(self: &Arc<Self>, new: NewVolume) -> Result<VolumeInfo> {
        let volumes = Arc::clone(self);
        blocking(move || volumes.create_now(new)).await
    }

    fn create_now(&self, new: NewVolume) -> Result<VolumeInfo> {
        let NewVolume { name, labels, driver } = new;
        let anonymous = name.is_none();
        let name = name.unwrap_or_else(random_name);
        let failed = |error: Error| error.while_doing(format!("create {name}"));
        if !driver.is_local() {
            self.drivers.get(&driver.name).map_err(failed)?;
        }
        name::check(&name)?;
        let _turn = self.turns.take(&name);
        if let Some(known) = self.known(&name, &driver.name).map_err(failed)? {
            return self.info_of(name, known);
        }
        let made = self.make_remote(&name, &driver, &labels, anonymous).map_err(failed)?;
        if let Some(known) = made {
            return self.info_of(name, known);
        }
        driver.check(|| self.limits_size()).map_err(failed)?;
        let _changes = self.lock();
        // A container may have brought it along since.
        if let Some(record) = self.store.get(&RECORDS, &name)? {
            return Ok(self.info(name, record));
        }
        self.make_local(&name, &driver.options)?;
        let record = VolumeRecord::local(anonymous, labels, driver.options);
        if let Err(error) = self.store.write(|change| change.put(&RECORDS, &name, &record)) {
            // A container that is being made may have it already.
            if !self.uses.has_users(&name) {
                remove_logged(&self.root.join(&name));
            }
            return Err(error);
        }
        self.announce(&name, LOCAL, "create");
        Ok(self.info(name, record))
    }

    /// The volume `name`, if there is one that can be had by asking the driver `wanted` for it; empty:
    /// whichever driver has it. Blocks; the caller has its turn.
    ///
    /// # Errors
    /// In docker's words: not found for the driver; conflict if another has it, or its own doesn't
    /// answer or has lost it.
    pub(super) fn known(&self, name: &str, wanted: &str) -> Result<Option<Known>> {
        let Some(record) = self.store.get(&RECORDS, name)? else { return Ok(None) };
        let conflict =
            |what: String| Error::conflict(format!("{what}: volume name must be unique"));
        let driver = record.driver.clone();
        let other = !wanted.is_empty() && wanted != driver;
        if other && wanted != LOCAL {
            self.drivers.get(wanted)?;
        }
        let taken = || conflict(format!("driver '{driver}' already has volume '{name}'"));
        if record.is_local() {
            return if other { Err(taken()) } else { Ok(Some(Known { record, told: None })) };
        }
        let told = self.ask_driver(&driver, name).map_err(|error| {
            conflict(format!(
                "found reference to volume '{name}' in driver '{driver}', but got an error while \
                 checking the driver: {error}"
            ))
        })?;
        match told {
            Some(_) if other => Err(taken()),
            Some(told) => Ok(Some(Known { record, told: Some(told) })),
            None if self.uses.has_users(name) => Err(conflict(format!(
                "found references to volume '{name}' in driver '{driver}' but the volume was not \
                 found in the driver -- you may need to remove containers referencing this volume \
                 or force remove the volume to re-create it"
            ))),
            None => {
                self.store.write(|change| change.delete(&RECORDS, name))?;
                Ok(None)
            }
        }
    }

    /// What the plugin `driver` says of the volume `name`. Blocks.
    pub(super) fn ask_driver(&self, driver: &str, name: &str) -> Result<Option<Told>> {
        let found = self.drivers.get(driver).and_then(|it| it.find(name, Patience::Short));
        found.map_err(|error| {
            error.while_doing(format!(
                "error while checking if volume {name:?} exists in driver {driver:?}"
            ))
        })
    }

    /// Makes a volume of a plugin's, if one is asked for, or takes one that a plugin has already, if no
    /// driver is. None: the volume is to be ours. Blocks; the caller has its turn.
    pub(super) fn make_remote(
        &self,
        name: &str,
        driver: &DriverConfig,
        labels: &BTreeMap<String, String>,
        anonymous: bool,
    ) -> Result<Option<Known>> {
        let mut record = VolumeRecord::local(anonymous, labels.clone(), driver.options.clone());
        let told = if !driver.is_local() {
            let remote = self.drivers.get(&driver.name)?;
            let told = remote.find(name, Patience::Short)?;
            if told.is_none() {
                remote.create(name, &driver.options)?;
            }
            remote.name().clone_into(&mut record.driver);
            told
        } else if driver.name.is_empty() && !anonymous {
            let Some((remote, told)) = self.somewhere(name) else { return Ok(None) };
            record = VolumeRecord {
                driver: remote,
                ..VolumeRecord::local(false, labels.clone(), BTreeMap::new())
            };
            Some(told)
        } else {
            return Ok(None);
        };
        self.store.write(|change| change.put(&RECORDS, name, &record))?;
        self.announce(name, &record.driver, "create");
        Ok(Some(Known { record, told: Some(told.unwrap_or_default()) }))
    }

    /// Which plugin has a volume `name` that nobody here has asked for yet.
    pub(super) fn somewhere(&self, name: &str) -> Option<(String, Told)> {
        let mut all = self.drivers.all().into_iter();
        all.find_map(|remote| match remote.find(name, Patience::Soon) {
            Ok(told) => told.map(|told| (remote.name().to_owned(), told)),
            Err(error) => {
                tracing::warn!(%error, "look for a volume");
                None
            }
        })
    }

    /// Makes the directory of a volume of ours, with its limit.
    pub(super) fn make_local(
        &self,
        name: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<std::path::PathBuf> {
        let path = self.make_directory(name)?;
        if let Some(bytes) = most(options)? {
            quota::limit_volume(&path, bytes)?;
        }
        Ok(path)
    }

    /// Whether the file system can limit what a volume takes.
    pub(super) fn limits_size(&self) -> bool {
        quota::works_at(&self.root)
    }
}

impl VolumeRecord {
    /// A volume of ours.
    pub(super) fn local(
        anonymous: bool,
        labels: BTreeMap<String, String>,
        options: BTreeMap<String, String>,
    ) -> Self {
        let created = Timestamp::now();
        let driver = LOCAL.to_owned();
        Self { created, anonymous, labels, options, driver, renamed_from: None }
    }

    /// Whether no plugin keeps it.
    pub(super) fn is_local(&self) -> bool {
        self.driver == LOCAL
    }
}
