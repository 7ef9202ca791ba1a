//! Containers' writable layers.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::compare::differ_outside;
use super::directory::Directories;
use super::driver::{Driver, DriverName, Drivers, Written, check_stack};
use super::hold::Hold;
use super::layers::Layers;
use super::record::{WRITABLE, WritableRecord};
use super::upper::Upper;
use super::{GraphDirs, Mount, Usage, quota, usage};
use crate::error::{Error, Result};
use crate::image::{ChainId, Image};
use crate::store::Store;

/// All writable layers.
pub(super) struct WritableLayers {
    pub(super) directories: Arc<Directories>,
    pub(super) drivers: Arc<Drivers>,
    store: Arc<Store>,
    pub(super) layers: Arc<Layers>,
    records: Mutex<HashMap<String, Writable>>,
}

struct Writable {
    record: WritableRecord,
    /// Keeps the layers below.
    _hold: Hold<ChainId>,
}

impl WritableLayers {
    pub(super) fn open(
        directories: Arc<Directories>,
        store: Arc<Store>,
        layers: Arc<Layers>,
    ) -> Result<Self> {
        let mut records = HashMap::new();
        for (key, record) in store.list(&WRITABLE)? {
            directories.reserve(record.directory);
            let hold = layers.hold(layers.chain(record.below));
            records.insert(key, Writable { record, _hold: hold });
        }
        let drivers = Arc::clone(&layers.drivers);
        Ok(Self { directories, drivers, store, layers, records: Mutex::new(records) })
    }

    pub(super) fn prepare(
        &self,
        key: &str,
        top: Option<ChainId>,
        limit: Option<u64>,
    ) -> Result<()> {
        if self.lock().contains_key(key) {
            return Err(Error::conflict(format!("the snapshot {key} exists already")));
        }
        let hold = self.layers.hold(self.layers.chain(top));
        let driver = self.drivers.chosen();
        check_stack(driver, &self.layers.stack(top)?)?;
        let fresh = self.directories.fresh()?;
        if let Some(bytes) = limit {
            quota::limit(fresh.path(), fresh.number(), bytes)?;
        }
        driver.prepare(fresh.path(), &self.layers.lowers(top)?)?;
        driver.sync(fresh.path())?;
        self.directories.sync()?;
        let (directory, driver) = (fresh.number(), driver.name());
        let record = WritableRecord { directory, driver, below: top };
        self.store.write(|change| change.put(&WRITABLE, key, &record))?;
        self.lock().insert(key.to_owned(), Writable { record, _hold: hold });
        fresh.keep();
        Ok(())
    }

    pub(super) fn remove(&self, key: &str) -> Result<()> {
        let Some(directory) = self.lock().get(key).map(|writable| writable.record.directory) else {
            return Ok(());
        };
        self.store.write(|change| change.delete(&WRITABLE, key))?;
        self.lock().remove(key);
        let collected = self.layers.collect();
        quota::lift(&self.directories.path(directory));
        self.directories.delete([directory])?;
        collected.map(drop)
    }

    pub(super) fn retain(&self, keep: &HashSet<String>) -> Result<()> {
        let doomed: Vec<String> =
            self.lock().keys().filter(|key| !keep.contains(*key)).cloned().collect();
        // To the end, then the first failure.
        let removed: Vec<Result<()>> = doomed.iter().map(|key| self.remove(key)).collect();
        removed.into_iter().collect()
    }

    pub(super) fn mounts(&self, key: &str) -> Result<Vec<Mount>> {
        let record = self.record(key)?;
        let layers = self.drivers.show(&self.layers.stack(record.below)?)?;
        self.driver(&record)?.mounts(&self.directories.path(record.directory), &layers)
    }

    pub(super) fn directories(&self, key: &str) -> Result<(DriverName, Option<GraphDirs>)> {
        let record = self.record(key)?;
        let layers = self.drivers.places(&self.layers.stack(record.below)?)?;
        let own = self.directories.path(record.directory);
        Ok((record.driver, self.driver(&record)?.directories(&own, &layers)))
    }

    pub(super) fn image_directories(
        &self,
        image: &Image,
    ) -> Result<(DriverName, Option<GraphDirs>)> {
        let stack = self.layers.stack(image.top())?;
        let Some((top, lower)) = stack.split_first() else {
            return Err(Error::not_found(format!("the image {} has no layers", image.id)));
        };
        let (own, driver) = (self.directories.path(top.number), self.drivers.get(top.driver)?);
        let directories = driver.directories(&own, &self.drivers.places(lower)?);
        Ok((top.driver, directories.map(|it| GraphDirs { upper: driver.place(&own), ..it })))
    }

    pub(super) fn usage(&self, key: &str) -> Result<Usage> {
        let Upper { own, lowers, .. } = self.upper(key)?;
        let bytes = match own {
            Written::Changes(own) => usage::bytes(own.as_fd()),
            Written::Whole(own) => usage::bytes_of(own.as_fd(), |path, stat| {
                let old = lowers.look(path);
                !old.is_ok_and(|old| old.is_some_and(|old| !differ_outside(&old.stat, stat)))
            }),
        };
        let bytes = bytes.map_err(|error| Error::io("measure what a container wrote", error))?;
        Ok(Usage { bytes })
    }

    pub(super) fn is_limited(&self, key: &str) -> Result<bool> {
        Ok(quota::is_limited(&self.directories.path(self.record(key)?.directory)))
    }

    /// The directories that records name.
    pub(super) fn named(&self) -> Vec<u64> {
        self.lock().values().map(|writable| writable.record.directory).collect()
    }

    pub(super) fn record(&self, key: &str) -> Result<WritableRecord> {
        record(&self.lock(), key)
    }

    /// The record, and a hold on the layers below of its own.
    pub(super) fn held(&self, key: &str) -> Result<(WritableRecord, Hold<ChainId>)> {
        let records = self.lock();
        let record = record(&records, key)?;
        // As long as the record is there, so is its own hold.
        let hold = self.layers.hold(self.layers.chain(record.below));
        Ok((record, hold))
    }

    pub(super) fn driver(&self, record: &WritableRecord) -> Result<&dyn Driver> {
        self.drivers.get(record.driver)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Writable>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(records: &HashMap<String, Writable>, key: &str) -> Result<WritableRecord> {
    let writable = records.get(key);
    writable
        .map(|writable| writable.record.clone())
        .ok_or_else(|| Error::not_found(format!("the snapshot {key} does not exist")))
}
