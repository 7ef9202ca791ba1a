//! Layers: unpacked once, shared by every image and container that has them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::confined::{Kind, Task, Unpacker};
use super::directory::{self, Directories, FILES, Fresh};
use super::driver::{DriverName, Drivers, check_stack, unpack};
use super::hold::{Hold, Holds};
use super::limits::Limits;
use super::lowers::Lowers;
use super::record::{LAYERS, LayerRecord};
use super::stack::{Lower, SnapshotId};
use super::usage;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::compression::Compression;
use crate::image::pipeline::{Decoded, decoded};
use crate::image::{ChainId, DiffId, Digest};
use crate::store::{Store, Transaction};

/// More layers are refused: each costs every container of the image something. Docker's limit is
/// about a hundred; the kernel stacks half as many as this, and drivers see to the rest.
pub(crate) const MOST_LAYERS: usize = 1000;

/// Bytes that are read at once of what was uncompressed.
const BUFFER: usize = 256 << 10;

/// The unpacked layers.
pub(crate) struct Layers {
    pub(super) directories: Arc<Directories>,
    pub(super) drivers: Arc<Drivers>,
    store: Arc<Store>,
    /// What unpacks in a process of its own; none: this process does.
    pub(super) unpacker: Option<Unpacker>,
    pub(super) limits: Limits,
    records: Mutex<HashMap<ChainId, LayerRecord>>,
    /// What was measured of those that are recorded.
    measured: Mutex<HashMap<ChainId, u64>>,
    holds: Arc<Holds<ChainId>>,
    /// Held from the look at the records to the commit that changes them.
    changes: Mutex<()>,
}

/// A layer that is unpacked, but that no record names yet: dropped, it is deleted.
pub(crate) struct Unpacked {
    fresh: Fresh,
    driver: DriverName,
    /// Bytes of the files in it.
    pub(crate) size: u64,
}

/// A layer to be recorded: what was unpacked, and what it turned out to be.
pub(crate) struct NewLayer {
    pub(crate) chain: ChainId,
    /// The layers below it; none: it is the lowest.
    pub(crate) below: Option<ChainId>,
    pub(crate) diff_id: DiffId,
    pub(crate) unpacked: Arc<Unpacked>,
}

impl Layers {
    pub(super) fn open(
        config: &Config,
        directories: Arc<Directories>,
        drivers: Arc<Drivers>,
        store: Arc<Store>,
    ) -> Result<Self> {
        let mut records = HashMap::new();
        for (key, record) in store.list(&LAYERS)? {
            directories.reserve(record.directory);
            let place = directories.path(record.directory);
            let there = match place.metadata() {
                Ok(there) => there.is_dir(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
                // Not to be taken for gone: a disk may fail for a moment.
                Err(error) => {
                    return Err(Error::io(format_args!("look at {}", place.display()), error));
                }
            };
            if there {
                records.insert(key.parse()?, record);
            } else {
                tracing::warn!(layer = key, "an unpacked layer is gone from the disk");
                store.write(|change| change.delete(&LAYERS, &key))?;
            }
        }
        let (records, changes) = (Mutex::new(records), Mutex::new(()));
        Ok(Self {
            directories,
            drivers,
            store,
            unpacker: config.unpacker.clone().map(Unpacker),
            limits: config.layer_limits,
            records,
            measured: Mutex::default(),
            holds: Holds::new(),
            changes,
        })
    }

    /// Keeps these layers, there or still to come, from being collected.
    pub(crate) fn hold(&self, chains: impl IntoIterator<Item = ChainId>) -> Hold<ChainId> {
        self.holds.hold(chains)
    }

    /// What is known about a layer, if it is there.
    pub(crate) fn find(&self, chain: ChainId) -> Option<LayerRecord> {
        lock(&self.records).get(&chain).cloned()
    }

    /// Bytes of the disk that a layer takes; none if it is gone. It is measured once. Blocks.
    pub(crate) fn on_disk(&self, chain: ChainId) -> Result<u64> {
        if let Some(known) = lock(&self.measured).get(&chain) {
            return Ok(*known);
        }
        let Some(record) = self.find(chain) else { return Ok(0) };
        let path = self.directories.path(record.directory);
        let directory = super::directory::open(&path)?;
        let bytes = usage::on_disk(directory.as_fd())
            .map_err(|error| Error::io(format_args!("measure {}", path.display()), error))?;
        let mut measured = lock(&self.measured);
        // One that is going meanwhile would be remembered for ever.
        if self.find(chain).is_some_and(|now| now.directory == record.directory) {
            measured.insert(chain, bytes);
        }
        Ok(bytes)
    }

    /// A layer and all below it, uppermost first.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if one of them isn't there.
    pub(crate) fn stack(&self, top: Option<ChainId>) -> Result<Vec<SnapshotId>> {
        let records = lock(&self.records);
        let mut stack = Vec::new();
        let mut next = top;
        while let Some(chain) = next {
            let record = records.get(&chain).ok_or_else(|| {
                Error::not_found(format!("the layer {chain} is missing: load its image again"))
            })?;
            stack.push(record.snapshot());
            next = record.below;
        }
        Ok(stack)
    }

    /// The chain ids of a layer and all below it, as far as they are there.
    pub(crate) fn chain(&self, top: Option<ChainId>) -> Vec<ChainId> {
        let records = lock(&self.records);
        let mut chain = Vec::new();
        let mut next = top;
        while let Some(id) = next {
            chain.push(id);
            next = records.get(&id).and_then(|record| record.below);
        }
        chain
    }

    /// A layer and all below it, to be looked at.
    pub(super) fn lowers(&self, top: Option<ChainId>) -> Result<Lowers> {
        let stack = self.stack(top)?.into_iter().map(Lower::from).collect();
        Ok(Lowers::new(stack, &self.drivers))
    }

    /// Uncompresses and unpacks a layer over `stack`, uppermost first; some of it may be on its way
    /// still. Where the digest of `source` is `known`, it is
    /// not compressed, and not hashed again. It ends, with an error, when it is `given_up`. Nothing is
    /// synced.
    pub(crate) fn unpack(
        &self,
        stack: Vec<Lower>,
        source: impl Read + Send,
        known: Option<Digest>,
        given_up: &GivenUp,
    ) -> Result<Decoded<Unpacked>> {
        if stack.len() >= MOST_LAYERS {
            return Err(Error::invalid(format!("max depth exceeded: {MOST_LAYERS} layers")));
        }
        let driver = self.drivers.chosen();
        let here = stack.iter().filter_map(|lower| match lower {
            Lower::Here(id) => Some(*id),
            // The same driver makes it.
            Lower::Coming(_) => None,
        });
        check_stack(driver, &here.collect::<Vec<_>>())?;
        let fresh = self.directories.fresh()?;
        let files = directory::open(&fresh.path().join(FILES))?;
        let lowers = &Lowers::only_read(stack, &self.drivers);
        let done = match &self.unpacker {
            Some(unpacker) => {
                let (kind, limits) = (Kind::Layer(driver.name()), self.limits);
                let task = Task { kind, files: &files, lowers, known, limits, given_up };
                unpacker.unpack(&task, source)?
            }
            None => decoded(source, known, |chunks| {
                let archive = &mut self.limits.watch(chunks);
                unpack(driver.name(), archive, files, lowers, &self.limits)
            })?,
        };
        driver.seal(fresh.path())?;
        let outcome = Unpacked { fresh, driver: driver.name(), size: done.outcome };
        Ok(Decoded { outcome, digest: done.digest, compression: done.compression })
    }

    /// The content of `source`, which is compressed so; no more than a layer may have, since what is
    /// small may become endless. It ends, with an error, when it is `given_up`.
    pub(crate) fn uncompressed(
        &self,
        source: impl BufRead + Send + 'static,
        compression: Compression,
        given_up: &GivenUp,
    ) -> Result<Box<dyn BufRead + Send>> {
        let limits = self.limits;
        let watched = |content: Box<dyn Read + Send>| -> Box<dyn BufRead + Send> {
            Box::new(limits.watch(BufReader::with_capacity(BUFFER, content)))
        };
        Ok(match (&self.unpacker, compression) {
            (_, Compression::None) => Box::new(source),
            (Some(unpacker), _) => {
                watched(Box::new(unpacker.uncompressed(source, compression, &limits, given_up)?))
            }
            (None, _) => watched(Box::new(compression.decoder(source)?.draining())),
        })
    }

    /// Records new layers, which must be durable, in one transaction with `others`. A layer that
    /// someone else recorded meanwhile is dropped.
    pub(crate) fn commit(
        &self,
        mut layers: Vec<Arc<NewLayer>>,
        others: impl FnOnce(&Transaction) -> Result<()>,
    ) -> Result<()> {
        let _one_at_a_time = lock(&self.changes);
        layers.retain(|layer| self.find(layer.chain).is_none());
        self.store.write(|change| {
            for layer in &layers {
                change.put(&LAYERS, &layer.chain.to_string(), &layer.record())?;
            }
            others(change)
        })?;
        let mut records = lock(&self.records);
        for layer in layers {
            records.insert(layer.chain, layer.record());
            layer.unpacked.fresh.keep();
        }
        Ok(())
    }

    /// Deletes released layers that nobody holds, and says which.
    pub(crate) fn collect(&self) -> Result<Vec<ChainId>> {
        self.delete(self.holds.take_released())
    }

    /// Deletes every layer that nobody holds.
    pub(super) fn collect_all(&self) -> Result<()> {
        let all = lock(&self.records).keys().copied().collect();
        self.delete(all).map(drop)
    }

    fn delete(&self, candidates: Vec<ChainId>) -> Result<Vec<ChainId>> {
        let doomed = self.forget(candidates)?;
        doomed.iter().for_each(|(_, directory)| self.drivers.forget(*directory));
        self.directories.delete(doomed.iter().map(|(_, directory)| *directory))?;
        Ok(doomed.into_iter().map(|(chain, _)| chain).collect())
    }

    /// Takes the records of those layers away that nobody holds; their directories remain.
    fn forget(&self, candidates: Vec<ChainId>) -> Result<Vec<(ChainId, u64)>> {
        let _one_at_a_time = lock(&self.changes);
        let mut doomed = Vec::new();
        {
            let mut records = lock(&self.records);
            for chain in candidates {
                // Whoever needs a layer holds it first and looks for it then.
                if !self.holds.is_held(&chain)
                    && let Some(record) = records.remove(&chain)
                {
                    doomed.push((chain, record));
                }
            }
        }
        if !doomed.is_empty() {
            let forgotten = self.store.write(|change| {
                doomed.iter().try_for_each(|(chain, _)| change.delete(&LAYERS, &chain.to_string()))
            });
            if let Err(error) = forgotten {
                for (chain, record) in doomed {
                    lock(&self.records).insert(chain, record);
                    self.holds.release_again(chain);
                }
                return Err(error);
            }
            let mut measured = lock(&self.measured);
            doomed.iter().for_each(|(chain, _)| _ = measured.remove(chain));
        }
        Ok(doomed.into_iter().map(|(chain, record)| (chain, record.directory)).collect())
    }

    /// The directories that layers' records name.
    pub(super) fn directories(&self) -> Vec<u64> {
        lock(&self.records).values().map(|record| record.directory).collect()
    }
}

/// What a panic elsewhere left is whole: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unpacked {
    /// A layer that is in `fresh`.
    pub(super) fn new(fresh: Fresh, driver: DriverName, size: u64) -> Self {
        Self { fresh, driver, size }
    }

    /// The snapshot that it is, for the layer upon it.
    pub(crate) fn snapshot(&self) -> SnapshotId {
        SnapshotId { number: self.fresh.number(), driver: self.driver }
    }
}

impl NewLayer {
    fn record(&self) -> LayerRecord {
        LayerRecord {
            directory: self.unpacked.fresh.number(),
            driver: self.unpacked.driver,
            below: self.below,
            diff_id: self.diff_id,
            size: self.unpacked.size,
        }
    }
}
