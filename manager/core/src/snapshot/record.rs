//! What the store keeps about snapshots.

use serde::{Deserialize, Serialize};

use super::driver::DriverName;
use super::stack::SnapshotId;
use crate::error::Result;
use crate::image::{ChainId, DiffId};
use crate::store::{Store, Table};

/// Unpacked layers, by chain id.
pub(super) const LAYERS: Table<LayerRecord> = Table::new("layers");

/// Containers' writable layers, by key.
pub(super) const WRITABLE: Table<WritableRecord> = Table::new("writable");

/// The driver that made the latest snapshot, if there is one.
pub(super) fn latest_driver(store: &Store) -> Result<Option<DriverName>> {
    let layers = store.list(&LAYERS)?.into_iter().map(|(_, it)| (it.directory, it.driver));
    let writable = store.list(&WRITABLE)?.into_iter().map(|(_, it)| (it.directory, it.driver));
    Ok(layers.chain(writable).max_by_key(|(number, _)| *number).map(|(_, driver)| driver))
}

/// An unpacked layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Its directory, `snapshots/<number>`.
    pub(crate) directory: u64,
    /// Who made what is in there.
    #[serde(default)]
    pub(crate) driver: DriverName,
    /// The layers below it; none: it is the lowest.
    pub(crate) below: Option<ChainId>,
    /// Its content.
    pub(crate) diff_id: DiffId,
    /// Bytes of the files in it.
    pub(crate) size: u64,
}

impl LayerRecord {
    /// The snapshot that it is.
    pub(crate) fn snapshot(&self) -> SnapshotId {
        SnapshotId { number: self.directory, driver: self.driver }
    }
}

/// A container's writable layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct WritableRecord {
    /// Its directory, `snapshots/<number>`.
    pub(super) directory: u64,
    /// Who made what is in there.
    #[serde(default)]
    pub(super) driver: DriverName,
    /// The uppermost of the layers below it; none: its image has none.
    pub(super) below: Option<ChainId>,
}
