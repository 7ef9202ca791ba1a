//! One layer, unpacked while its blob comes.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::download::Download;
use super::flights::Flight;
use super::{Transfers, Work};
use crate::error::{Error, Result};
use crate::given_up::GiveUp;
use crate::image::digest::{ChainId, DiffId};
use crate::snapshot::{Expected, Layers, Lower, NewLayer, promise};

/// An unpacking as everyone sees it who waits for it.
pub(super) struct Unpacking {
    /// Bytes of the blob that are unpacked.
    pub(super) current: watch::Receiver<u64>,
    /// The layer, for those upon it.
    pub(super) expected: Expected,
    outcome: Arc<OnceLock<Unpacked>>,
}

/// A layer that is unpacked, and that nobody has recorded yet.
#[derive(Clone)]
pub(super) struct Unpacked {
    pub(super) layer: Arc<NewLayer>,
    /// How its blob turned out to be compressed.
    pub(super) media_type: &'static str,
}

/// What is to be unpacked, and upon what.
pub(super) struct Place {
    pub(super) chain: ChainId,
    pub(super) diff_id: DiffId,
    pub(super) below: Option<ChainId>,
    /// The layers below, uppermost first.
    pub(super) stack: Vec<Lower>,
}

impl Unpacking {
    /// The layer, once the unpacking is done.
    pub(super) fn unpacked(&self) -> Option<&Unpacked> {
        self.outcome.get()
    }
}

impl Transfers {
    /// Unpacks a layer, or waits for who unpacks it already.
    pub(super) fn unpack(
        &self,
        work: &Work<'_>,
        download: &Arc<Flight<Download>>,
        place: Place,
        turn: OwnedSemaphorePermit,
    ) -> Arc<Flight<Unpacking>> {
        let blob = download.about().blob.digest;
        self.unpackings.join((place.chain, blob), || {
            let (tell, current) = watch::channel(0);
            let outcome = Arc::new(OnceLock::new());
            let (promise, expected) = promise();
            let layers = Arc::clone(&work.images.catalog.layers);
            let job = Job { layers, download: Arc::clone(download), place, turn };
            let set = Arc::clone(&outcome);
            let work = async move {
                let unpacked = job.run(tell).await?;
                promise.keep(unpacked.layer.unpacked.snapshot());
                let _ = set.set(unpacked);
                Ok(())
            };
            (Unpacking { current, expected, outcome }, work)
        })
    }
}

struct Job {
    layers: Arc<Layers>,
    download: Arc<Flight<Download>>,
    place: Place,
    /// Its turn lasts until it is done.
    turn: OwnedSemaphorePermit,
}

impl Job {
    async fn run(self, tell: watch::Sender<u64>) -> Result<Unpacked> {
        let Place { chain, diff_id, below, stack } = self.place;
        // The thread that unpacks stops when nobody waits for it.
        let give_up = GiveUp::default();
        let given_up = give_up.watched();
        let content = Arc::clone(&self.download.about().content);
        let source = Counted { inner: content.reader(given_up.clone()), tell, count: 0 };
        let layers = self.layers;
        let (_turn, waited_for) = (self.turn, stack.clone());
        let unpacking =
            tokio::task::spawn_blocking(move || layers.unpack(stack, source, None, &given_up));
        let died = |error| Error::system("an unpacking's task died").caused_by(error);
        let done = match unpacking.await.map_err(died)? {
            Ok(done) => done,
            Err(error) => {
                // If it broke off because the download did, that is what to tell.
                if content.is_stopped() {
                    self.download.done().await?;
                }
                if !waited_for.iter().any(Lower::is_broken) {
                    discard(&self.download);
                }
                return Err(error.while_doing("failed to register layer"));
            }
        };
        self.download.done().await?;
        if DiffId(done.digest) != diff_id {
            discard(&self.download);
            return Err(Error::system("layers from manifest don't match image configuration"));
        }
        let media_type = done.compression.layer_media_type().ok_or_else(|| {
            Error::unsupported("a layer that is compressed by something but gzip or zstd")
        })?;
        let layer = Arc::new(NewLayer { chain, below, diff_id, unpacked: Arc::new(done.outcome) });
        Ok(Unpacked { layer, media_type })
    }
}

/// What is no layer, or has no room as one, is not kept for the next pull.
fn discard(download: &Flight<Download>) {
    if let Some(fetched) = download.about().fetched() {
        fetched.discard();
    }
}

/// Tells how much was read.
struct Counted<R> {
    inner: R,
    tell: watch::Sender<u64>,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        self.tell.send_replace(self.count);
        Ok(count)
    }
}
