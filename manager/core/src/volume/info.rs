//! Looking at volumes.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::{RECORDS, VolumeRecord, Volumes, blocking};
use crate::error::{Error, Result};
use crate::snapshot::usage;

/// A volume, for whoever looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeInfo {
    /// Its name.
    pub name: String,
    /// Where its content is on this host.
    pub path: PathBuf,
    /// When it was made.
    pub created: Timestamp,
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
    /// All volumes, by name.
    ///
    /// # Errors
    /// System if the store can't be read.
    pub async fn list(self: &Arc<Self>) -> Result<Vec<VolumeInfo>> {
        let volumes = Arc::clone(self);
        blocking(move || {
            let records = volumes.store.list(&RECORDS)?;
            Ok(records.into_iter().map(|(name, record)| volumes.info(name, record)).collect())
        })
        .await
    }

    /// The volume `name`.
    ///
    /// # Errors
    /// Not found, in docker's words.
    pub async fn find(self: &Arc<Self>, name: &str) -> Result<VolumeInfo> {
        let (volumes, name) = (Arc::clone(self), name.to_owned());
        blocking(move || {
            let record = volumes.record(&name)?;
            Ok(volumes.info(name, record))
        })
        .await
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

    pub(super) fn info(&self, name: String, record: VolumeRecord) -> VolumeInfo {
        VolumeInfo {
            path: self.content(&name),
            created: record.created,
            anonymous: record.anonymous,
            labels: record.labels,
            options: record.options,
            users: self.uses.users(&name),
            name,
        }
    }
}
