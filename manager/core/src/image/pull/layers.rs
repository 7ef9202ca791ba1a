//! The layers of an image that are not here come.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::Work;
use super::download::{Download, Transfer};
use super::flights::Flight;
use super::plan::{Layers, Planned};
use super::steps::{LayerStep, Step};
use super::unpack::Unpacking;
use crate::error::Result;
use crate::image::blobs::Fetched;
use crate::image::digest::{ChainId, Digest};
use crate::image::image::Layer;
use crate::snapshot::{Hold, NewLayer};

/// How often it is told how far a layer is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// All layers of one image, here.
pub(super) struct Arrived {
    pub(super) layers: Vec<Layer>,
    /// Those that are to be recorded.
    pub(super) new: Vec<Arc<NewLayer>>,
    /// Whether each has the blob that the manifest says.
    pub(super) as_described: bool,
    downloads: Vec<Option<Arc<Flight<Download>>>>,
    _blobs: Vec<Hold<Digest>>,
    _chains: Hold<ChainId>,
}

impl Arrived {
    /// The blobs that are to be moved to their place.
    pub(super) fn fetched(&self) -> impl Iterator<Item = &Fetched> {
        self.downloads.iter().flatten().filter_map(|download| download.about().fetched())
    }
}

impl Layers {
    /// Fetches and unpacks those that are not here.
    pub(super) async fn bring(self, work: &Work<'_>) -> Result<Arrived> {
        let Self { planned, blobs, chains } = self;
        for layer in &planned {
            let here = layer.here.is_some();
            let step = if here { LayerStep::Known } else { LayerStep::Announced };
            work.tell_of(layer, step).await?;
        }
        let transfers = &work.images.transfers;
        let downloads: Vec<_> = planned
            .iter()
            .map(|layer| layer.here.is_none().then(|| transfers.download(work, layer.wanted)))
            .collect();
        if downloads.iter().flatten().any(|download| download.about().is_foreign_to(work)) {
            work.leans.store(true, Ordering::Relaxed);
        }
        let following = planned
            .iter()
            .zip(&downloads)
            .filter_map(|(layer, download)| Some(work.follow(layer, download.as_ref()?)));
        let (_, (layers, new)) =
            tokio::try_join!(try_join_all(following), work.stack(&planned, &downloads))?;
        let as_described = planned
            .iter()
            .zip(&layers)
            .all(|(planned, layer)| planned.wanted.digest == layer.blob.digest);
        Ok(Arrived { layers, new, as_described, downloads, _blobs: blobs, _chains: chains })
    }
}

impl Work<'_> {
    /// Tells how an unpacking goes, to its end.
    pub(super) async fn follow_unpacking(
        &self,
        planned: &Planned,
        download: &Flight<Download>,
        flight: Arc<Flight<Unpacking>>,
    ) -> Result<()> {
        let done = flight.done();
        tokio::pin!(done);
        let mut ticks = ticks();
        let mut told = 0;
        loop {
            tokio::select! {
                outcome = &mut done => break outcome?,
                _ = ticks.tick() => {
                    let current = *flight.about().current.borrow();
                    // Until all of it is here, it is told how far it is on its way.
                    if current != told && download.is_done() {
                        told = current;
                        let total = planned.wanted.size;
                        self.tell_of(planned, LayerStep::Extracting { current, total }).await?;
                    }
                }
            }
        }
        let size = planned.wanted.size;
        self.tell_of(planned, LayerStep::Extracting { current: size, total: size }).await?;
        self.tell_of(planned, LayerStep::Complete).await
    }

    /// Tells how a download goes, to its end.
    async fn follow(&self, planned: &Planned, download: &Arc<Flight<Download>>) -> Result<()> {
        let done = download.done();
        tokio::pin!(done);
        let mut ticks = ticks();
        // Who need not wait for others begins at once.
        ticks.reset();
        let mut told = None;
        let total = planned.wanted.size;
        loop {
            tokio::select! {
                outcome = &mut done => break outcome?,
                _ = ticks.tick() => {
                    let now = *download.about().state.borrow();
                    if told.replace(now) == Some(now) {
                        continue;
                    }
                    let step = match now {
                        Transfer::Waiting => LayerStep::Waiting,
                        Transfer::Running { current } => LayerStep::Downloading { current, total },
                        Transfer::Retrying { seconds } => LayerStep::Retrying { seconds },
                        Transfer::Verifying => continue,
                    };
                    self.tell_of(planned, step).await?;
                }
            }
        }
        self.tell_of(planned, LayerStep::Verifying).await?;
        self.tell_of(planned, LayerStep::Downloaded).await
    }

    pub(super) async fn tell_of(&self, planned: &Planned, step: LayerStep) -> Result<()> {
        self.tell(Step::Layer { blob: planned.wanted.digest, step }).await
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
