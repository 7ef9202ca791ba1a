//! Layers upon one another, some of them perhaps not recorded yet.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::error::{Error, Kind, Result};
use crate::image::build::{Kept, Packed};
use crate::image::{ChainId, Images, Layer};
use crate::snapshot::{NewLayer, SnapshotId, Unpacked};

/// Layers upon one another. A copy is the same; all of them stay as long as one copy is there.
#[derive(Clone)]
pub struct Stack {
    /// Those that records name, lowest first.
    known: Arc<Known>,
    /// Those upon them, lowest first.
    new: Arc<[Arc<Sealed>]>,
}

struct Known {
    layers: Vec<Layer>,
    snapshots: Vec<SnapshotId>,
    _kept: Kept,
}

/// A layer that a step made.
pub(super) struct Sealed {
    unpacked: Arc<Unpacked>,
    /// Its content, once it is packed.
    packed: watch::Receiver<Packing>,
    /// Who records it.
    images: Arc<Images>,
    /// Keeps it from being collected once it is recorded, should an image that has it go sooner.
    kept: OnceLock<Kept>,
}

/// How far the packing of a layer is.
#[derive(Clone)]
pub(super) enum Packing {
    /// It goes on.
    UnderWay,
    /// It is done.
    Done(Arc<Packed>),
    /// It failed.
    Failed(Kind, String),
}

/// A layer that is to be recorded, and what it is a layer upon.
pub(super) struct Placed {
    pub(super) layer: Layer,
    pub(super) new: Option<(Arc<NewLayer>, Arc<Packed>)>,
}

impl Stack {
    pub(super) fn of(layers: Vec<Layer>, kept: Kept, snapshots: Vec<SnapshotId>) -> Self {
        let known = Known { layers, snapshots, _kept: kept };
        Self { known: Arc::new(known), new: Arc::new([]) }
    }

    /// With one layer more.
    pub(super) fn with(&self, sealed: Sealed) -> Self {
        let new = self.new.iter().cloned().chain([Arc::new(sealed)]).collect();
        Self { known: Arc::clone(&self.known), new }
    }

    /// How many layers there are.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.known.layers.len() + self.new.len()
    }

    /// Its layers, lowest first. Waits for the digests of those that have just been made.
    ///
    /// # Errors
    /// Those of the disk on which they are packed.
    pub async fn layers(&self) -> Result<Vec<Layer>> {
        Ok(self.placed().await?.into_iter().map(|placed| placed.layer).collect())
    }

    /// The uppermost layer and all below it, if there is one. Waits as [`Self::layers`] does.
    ///
    /// # Errors
    /// The same.
    pub async fn top(&self) -> Result<Option<ChainId>> {
        Ok(self.layers().await?.last().map(|layer| layer.chain_id))
    }

    /// Its layers, lowest first, with what it takes to record those that are not.
    pub(super) async fn placed(&self) -> Result<Vec<Placed>> {
        let known = self.known.layers.iter().cloned();
        let mut placed: Vec<Placed> = known.map(|layer| Placed { layer, new: None }).collect();
        let mut below = self.known.layers.last().map(|layer| layer.chain_id);
        for sealed in self.new.iter() {
            let packed = sealed.packed().await?;
            let (diff_id, unpacked) = (packed.diff_id, Arc::clone(&sealed.unpacked));
            let chain = ChainId::extend(below, diff_id);
            let (blob, size) = (packed.describe(), unpacked.size);
            let new = Arc::new(NewLayer { chain, below, diff_id, unpacked });
            let layer = Layer { diff_id, chain_id: chain, blob, size };
            // Before it can be recorded, and go again.
            sealed.kept.get_or_init(|| sealed.images.building().hold(std::slice::from_ref(&layer)));
            placed.push(Placed { layer, new: Some((new, packed)) });
            below = Some(chain);
        }
        Ok(placed)
    }

    /// Whether records name all of it.
    pub(super) fn is_recorded(&self) -> bool {
        self.new.is_empty()
    }

    /// The snapshots that it is made of, uppermost first.
    pub(super) fn snapshots(&self) -> Vec<SnapshotId> {
        let new = self.new.iter().rev().map(|sealed| sealed.unpacked.snapshot());
        new.chain(self.known.snapshots.iter().copied()).collect()
    }
}

impl Sealed {
    pub(super) fn new(
        images: &Arc<Images>,
        unpacked: Arc<Unpacked>,
        packed: watch::Receiver<Packing>,
    ) -> Self {
        Self { unpacked, packed, images: Arc::clone(images), kept: OnceLock::new() }
    }

    async fn packed(&self) -> Result<Arc<Packed>> {
        let mut packed = self.packed.clone();
        let decided = packed.wait_for(|packing| !matches!(packing, Packing::UnderWay)).await;
        match decided.as_deref() {
            Ok(Packing::Done(packed)) => Ok(Arc::clone(packed)),
            Ok(Packing::Failed(kind, message)) => Err(Error::new(*kind, message.clone())),
            Ok(Packing::UnderWay) | Err(_) => Err(Error::system("the packing of a layer died")),
        }
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stack({} recorded, {} new)", self.known.layers.len(), self.new.len())
    }
}
