//! The layers of an image are unpacked one upon the other, several at once.
//!
//! A layer that needs something of the layers below it waits, then and there, until they are
//! unpacked. So each has to be given its turn before those upon it: turns are taken in order.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::OwnedSemaphorePermit;

use super::Work;
use super::download::Download;
use super::flights::Flight;
use super::plan::Planned;
use super::unpack::{Place, Unpacked, Unpacking};
use crate::error::{Error, Result};
use crate::image::image::{Blob, Layer};
use crate::snapshot::{Lower, NewLayer};

/// A layer in its place.
enum Laid {
    /// It was unpacked already.
    Here { size: u64, blob: Blob },
    /// It is being unpacked.
    Coming(Arc<Flight<Unpacking>>),
}

/// Following the unpackings and downloads that are under way; which of them failed, if one did.
type Following<'a> = FuturesUnordered<BoxFuture<'a, Result<(), (usize, Error)>>>;

impl Work<'_> {
    /// Unpacks the layers that are not unpacked.
    pub(super) async fn stack(
        &self,
        planned: &[Planned],
        downloads: &[Option<Arc<Flight<Download>>>],
    ) -> Result<(Vec<Layer>, Vec<Arc<NewLayer>>)> {
        let mut laid: Vec<Laid> = Vec::new();
        // The layers so far, uppermost first.
        let mut stack: Vec<Lower> = Vec::new();
        let mut following = Following::new();
        for (position, (layer, download)) in planned.iter().zip(downloads).enumerate() {
            let known = self.images.catalog.layers.find(layer.chain_id);
            let (lower, next) = match (known, download) {
                (Some(record), None) => {
                    let blob = layer.here.clone().unwrap_or_else(|| layer.described());
                    (record.snapshot().into(), Laid::Here { size: record.size, blob })
                }
                (known, Some(download)) => {
                    let turn = self.turn(&laid, &mut following).await?;
                    let place = Place {
                        chain: layer.chain_id,
                        diff_id: layer.diff_id,
                        below: position.checked_sub(1).map(|below| planned[below].chain_id),
                        stack: stack.clone(),
                    };
                    let flight = self.images.transfers.unpack(self, download, place, turn);
                    // One that is here, but came as another blob, is unpacked once more to see
                    // that this blob is the same layer; then it is dropped.
                    let lower = match known {
                        Some(record) => record.snapshot().into(),
                        None => Lower::Coming(flight.about().expected.clone()),
                    };
                    let done = self.follow_unpacking(layer, download, Arc::clone(&flight));
                    following.push(Box::pin(async move { done.await.map_err(|e| (position, e)) }));
                    (lower, Laid::Coming(flight))
                }
                (None, None) => {
                    return Err(Error::system(format!("the layer {} is gone", layer.chain_id)));
                }
            };
            stack.insert(0, lower);
            laid.push(next);
        }
        while let Some(followed) = following.next().await {
            cause(&laid, followed).await?;
        }
        gather(planned, &laid)
    }

    /// Waits for a turn to unpack; meanwhile those that have one are followed.
    async fn turn<'a>(
        &self,
        laid: &[Laid],
        following: &mut Following<'a>,
    ) -> Result<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.images.transfers.turns).acquire_owned();
        tokio::pin!(turn);
        loop {
            tokio::select! {
                turn = &mut turn => {
                    return turn.map_err(|_| Error::system("unpackings have ended"));
                }
                Some(followed) = following.next() => cause(laid, followed).await?,
            }
        }
    }
}

/// The error of a layer that failed, or of the layer below it that made it fail.
async fn cause(laid: &[Laid], followed: Result<(), (usize, Error)>) -> Result<()> {
    let Err((position, error)) = followed else { return Ok(()) };
    for below in laid.iter().take(position) {
        if let Laid::Coming(flight) = below
            && flight.about().expected.is_broken()
        {
            flight.done().await?;
        }
    }
    Err(error)
}

/// What the layers have become.
fn gather(planned: &[Planned], laid: &[Laid]) -> Result<(Vec<Layer>, Vec<Arc<NewLayer>>)> {
    let (mut layers, mut new) = (Vec::new(), Vec::new());
    for (planned, laid) in planned.iter().zip(laid) {
        let Planned { diff_id, chain_id, .. } = *planned;
        let (size, blob) = match laid {
            Laid::Here { size, blob } => (*size, blob.clone()),
            Laid::Coming(flight) => {
                let Some(Unpacked { layer, media_type }) = flight.about().unpacked() else {
                    return Err(Error::system(format!("the layer {chain_id} is gone")));
                };
                new.push(Arc::clone(layer));
                let blob = Blob { media_type: (*media_type).to_owned(), ..planned.described() };
                (layer.unpacked.size, blob)
            }
        };
        layers.push(Layer { diff_id, chain_id, blob, size });
    }
    Ok((layers, new))
}
