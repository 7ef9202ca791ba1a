//! Lists of volumes: ours, and what plugins say that they have.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::plugin::{Remote, Scope, Told};
use super::{RECORDS, VolumeInfo, VolumeRecord, Volumes, blocking};
use crate::error::Result;
use crate::threads;

/// All volumes, and what is to be said besides.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// By name.
    pub volumes: Vec<VolumeInfo>,
    /// What keeps plugins from telling of theirs.
    pub warnings: Vec<String>,
}

impl Volumes {
    /// All volumes, by name. A plugin that doesn't answer soon is not waited for.
    ///
    /// # Errors
    /// System if the store can't be read.
    pub async fn list(self: &Arc<Self>) -> Result<Listed> {
        let volumes = Arc::clone(self);
        blocking(move || volumes.list_now()).await
    }

    /// Those that are nothing but directories of ours, made without options, by name.
    ///
    /// # Errors
    /// System if the store can't be read.
    pub async fn ours(self: &Arc<Self>) -> Result<Vec<VolumeInfo>> {
        let volumes = Arc::clone(self);
        blocking(move || {
            let records = volumes.store.list(&RECORDS)?.into_iter();
            let ours = records.filter(|(_, record)| record.is_local() && record.options.is_empty());
            Ok(ours.map(|(name, record)| volumes.info(name, record)).collect())
        })
        .await
    }

    fn list_now(&self) -> Result<Listed> {
        let mut listed = Listed::default();
        let mut records: BTreeMap<String, VolumeRecord> =
            self.store.list(&RECORDS)?.into_iter().collect();
        // Whichever has the most volumes doesn't keep the others waiting.
        let asked = |remote: Remote| (remote.name().to_owned(), remote.list(), remote.scope());
        let answers = std::thread::scope(|scope| -> Result<Vec<_>> {
            let all = self.drivers.all().into_iter();
            let ask = |remote| threads::start(scope, "plugin", move || asked(remote));
            let asking: Vec<_> = all.map(ask).collect::<Result<_>>()?;
            asking.into_iter().map(threads::join).collect()
        })?;
        let mut there = HashMap::new();
        for (driver, told, scope) in answers {
            match told {
                Ok(told) => {
                    self.add_told(&mut listed, &mut records, &driver, told, scope);
                    there.insert(driver, scope);
                }
                Err(error) => listed.warnings.push(error.to_string()),
            }
        }
        for (name, record) in records {
            // What a plugin that answers doesn't tell of is gone.
            if record.is_local() || !there.contains_key(&record.driver) {
                let path = if record.is_local() { self.content(&name) } else { Default::default() };
                listed.volumes.push(VolumeInfo { path, ..self.info(name, record) });
            }
        }
        listed.volumes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    /// Adds the volumes of one plugin. Of two volumes of one name, that which is known here counts.
    fn add_told(
        &self,
        listed: &mut Listed,
        records: &mut BTreeMap<String, VolumeRecord>,
        driver: &str,
        told: Vec<Told>,
        scope: Scope,
    ) {
        for told in told {
            let record = match records.get(&told.name) {
                Some(record) if record.driver != driver => continue,
                Some(record) => record.clone(),
                None => VolumeRecord {
                    driver: driver.to_owned(),
                    ..VolumeRecord::local(false, BTreeMap::new(), BTreeMap::new())
                },
            };
            let name = told.name.clone();
            records.remove(&name);
            listed.volumes.push(self.told(name, record, &told, scope));
        }
    }
}
