//! Layers that are made here step by step, and images of them; for [`crate::build`].

mod assemble;
mod compress;
mod pack;

pub(crate) use assemble::{Assembled, Assembly, NewIndex};
pub use compress::{Packing, Repack};
pub(crate) use pack::{Packed, Written};

use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::catalog::Catalog;
use super::digest::{ChainId, Digest};
use super::image::{Blob, Layer};
use super::{Images, blocking_with};
use crate::error::{Error, Result};
use crate::snapshot::{Hold, SnapshotId};

/// Keeps layers and their blobs from being collected.
pub(crate) struct Kept {
    _layers: Hold<ChainId>,
    _blobs: Hold<Digest>,
}

impl Images {
    /// Work of a build with the catalog, which may block.
    pub(crate) async fn for_build<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Building<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        blocking_with(&self.catalog, move |catalog| work(&Building(catalog))).await
    }

    /// The same in this thread.
    pub(crate) fn building(&self) -> Building<'_> {
        Building(&self.catalog)
    }
}

/// What builds ask of the catalog.
pub(crate) struct Building<'a>(&'a Catalog);

impl Building<'_> {
    /// Keeps these layers, if all of them are there.
    pub(crate) fn keep(&self, layers: &[Layer]) -> Option<Kept> {
        let kept = self.hold(layers);
        let there = self.0.missing(layers.iter().map(|layer| &layer.blob)).is_none()
            && self.0.layers.stack(layers.last().map(|layer| layer.chain_id)).is_ok();
        there.then_some(kept)
    }

    /// Keeps these layers, there or about to be.
    pub(crate) fn hold(&self, layers: &[Layer]) -> Kept {
        Kept {
            _layers: self.0.layers.hold(layers.iter().map(|layer| layer.chain_id)),
            _blobs: self.0.blobs.hold(layers.iter().map(|layer| layer.blob.digest)),
        }
    }

    /// The snapshots of these layers, which are kept, uppermost first.
    pub(crate) fn snapshots(&self, layers: &[Layer]) -> Result<Vec<SnapshotId>> {
        self.0.layers.stack(layers.last().map(|layer| layer.chain_id))
    }

    /// Writes the content of a blob, checked while it is read.
    pub(crate) fn copy(&self, blob: &Blob, to: &mut impl Write) -> Result<()> {
        let failed = |error| Error::io(format_args!("read the blob {}", blob.digest), error);
        let content = self.0.blobs.checked(blob.digest, blob.size)?;
        io::copy(&mut content.take(blob.size), to).map(drop).map_err(failed)
    }

    /// Where a blob is.
    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        self.0.blobs.path(digest)
    }

    /// Takes away what nobody keeps any more.
    pub(crate) fn collect(&self) {
        self.0.collect();
    }
}
