//! Looking at volumes.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::create::Known;
use super::plugin::{Scope, Told};
use super::{RECORDS, VolumeRecord, Volumes, blocking};
use crate::error::{Error, Result};
use crate::snapshot::usage;

/// A volume, for whoever looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeInfo {
    /// Its name.
    pub name: String,
    /// Where its content is on this host; empty if only its plugin knows.
    pub path: PathBuf,
    /// Who keeps it.
    pub driver: String,
    /// Where it is there.
    pub scope: Scope,
    /// What its plugin says of its state.
    pub status: Option<Map<String, Value>>,
    /// When it was made, if that is known.
    pub created: Option<Timestamp>,
    /// Whether nobody gave it a name.
    pub anonymous: bool,
    /// What its user says of it.
    pub labels: BTreeMap<String, String>,
    /// What its driver was told.
    pub options: BTreeMap<String, String>,
    /// The ids of the containers that use it, running or not.
    pub users: Vec<String>,
}

impl Volumes {
    /// The volume `name`.
    ///
    /// # Errors
    /// Not found, in docker's words; what is said of a plugin that doesn't answer.
    pub async fn find(self: &Arc<Self>, name: &str) -> Result<VolumeInfo> {
        let (volumes, name) = (Arc::clone(self), name.to_owned());
        blocking(move || {
            volumes.find_now(&name).map_err(|error| error.while_doing(format!("get {name}")))
        })
        .await
    }

    fn find_now(&self, name: &str) -> Result<VolumeInfo> {
        let missing = || Error::not_found("no such volume");
        let (record, told) = match self.store.get(&RECORDS, name)? {
            Some(record) if record.is_local() => return Ok(self.info(name.to_owned(), record)),
            Some(record) => {
                let told = self.ask_driver(&record.driver, name)?.ok_or_else(missing)?;
                (record, told)
            }
            None => {
                let (driver, told) = self.somewhere(name).ok_or_else(missing)?;
                let unsaid = VolumeRecord::local(false, BTreeMap::new(), BTreeMap::new());
                (VolumeRecord { driver, ..unsaid }, told)
            }
        };
        self.info_of(name.to_owned(), Known { record, told: Some(told) })
    }

    /// A volume of whichever driver. Blocks.
    pub(super) fn info_of(&self, name: String, known: Known) -> Result<VolumeInfo> {
        let Known { record, told } = known;
        let Some(told) = told else { return Ok(self.info(name, record)) };
        let scope = self.drivers.get(&record.driver)?.scope();
        Ok(VolumeInfo {
            status: told.status.clone().or_else(|| Some(Map::new())),
            ..self.told(name, record, &told, scope)
        })
    }

    /// How many bytes the files in the volume `name` have.
    ///
    /// # Errors
    /// System if it can't be read.
    pub async fn size(self: &Arc<Self>, name: &str) -> Result<u64> {
        let path = self.content(name);
        blocking(move || {
            let measure = || usage::bytes(File::open(&path)?.as_fd());
            measure().map_err(|error| Error::io(format!("measure {}", path.display()), error))
        })
        .await
    }

    /// The record of the volume `name`.
    pub(super) fn record(&self, name: &str) -> Result<VolumeRecord> {
        let record = self.store.get(&RECORDS, name)?;
        record.ok_or_else(|| Error::not_found(format!("get {name}: no such volume")))
    }

    /// A volume of ours.
    pub(super) fn info(&self, name: String, record: VolumeRecord) -> VolumeInfo {
        VolumeInfo {
            path: self.content(&name),
            driver: record.driver,
            scope: Scope::Local,
            status: None,
            created: Some(record.created),
            anonymous: record.anonymous,
            labels: record.labels,
            options: record.options,
            users: self.uses.users(&name),
            name,
        }
    }

    /// A volume of a plugin's, which says this of it.
    pub(super) fn told(
        &self,
        name: String,
        record: VolumeRecord,
        told: &Told,
        scope: Scope,
    ) -> VolumeInfo {
        let (path, created) = (told.place(), told.created());
        VolumeInfo { path, created, scope, ..self.info(name, record) }
    }
}
