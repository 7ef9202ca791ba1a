//! The layers of an image: which of them are here, and how the others come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use oci_spec::image::{Descriptor, ImageManifest};
use tokio::time::{MissedTickBehavior, interval};

use super::Work;
use super::download::{Download, Transfer};
use super::flights::Flight;
use super::steps::{LayerStep, Step};
use super::unpack::{Place, Unpacked};
use crate::error::{Error, Result};
use crate::image::blobs::Fetched;
use crate::image::catalog::Catalog;
use crate::image::config::ImageConfig;
use crate::image::digest::{ChainId, DiffId, Digest};
use crate::image::image::{Blob, Layer};
use crate::registry::Wanted;
use crate::snapshot::{Hold, NewLayer};

/// How often it is told how far a layer is.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// More layers than can be stacked are not even asked for.
const MOST_LAYERS: usize = 250;

/// The layers of one image, before they are here.
pub(super) struct Layers {
    planned: Vec<Planned>,
    blobs: Hold<Digest>,
    chains: Hold<ChainId>,
}

/// One layer, and what there is to do for it.
struct Planned {
    wanted: Wanted,
    media_type: &'static str,
    diff_id: DiffId,
    chain_id: ChainId,
    /// The blob that it was unpacked from and that is still here.
    here: Option<Blob>,
}

/// All layers of one image, here.
pub(super) struct Arrived {
    pub(super) layers: Vec<Layer>,
    /// Those that are to be recorded.
    pub(super) new: Vec<Arc<NewLayer>>,
    /// Whether each has the blob that the manifest says.
    pub(super) as_described: bool,
    downloads: Vec<Option<Arc<Flight<Download>>>>,
    _blobs: Hold<Digest>,
    _chains: Hold<ChainId>,
}

impl Arrived {
    /// The blobs that are to be moved to their place.
    pub(super) fn fetched(&self) -> impl Iterator<Item = &Fetched> {
        self.downloads.iter().flatten().filter_map(|download| download.about().fetched())
    }
}

impl Layers {
    /// Looks which layers are here, and keeps them from being collected.
    pub(super) fn plan(
        catalog: &Catalog,
        image: &ImageManifest,
        config: &ImageConfig,
    ) -> Result<Self> {
        let diff_ids = &config.rootfs.diff_ids;
        if image.layers().len() != diff_ids.len() {
            return Err(Error::system("layers from manifest don't match image configuration"));
        }
        if diff_ids.len() > MOST_LAYERS {
            return Err(Error::invalid(format!("max depth exceeded: {MOST_LAYERS} layers")));
        }
        let mut planned = Vec::new();
        let mut below = None;
        for (descriptor, diff_id) in image.layers().iter().zip(diff_ids) {
            let chain_id = ChainId::extend(below, *diff_id);
            below = Some(chain_id);
            let wanted = Wanted {
                digest: descriptor.digest().to_string().parse()?,
                size: descriptor.size(),
            };
            let media_type = media_type(descriptor)?;
            planned.push(Planned { wanted, media_type, diff_id: *diff_id, chain_id, here: None });
        }
        let chains = catalog.layers.hold(planned.iter().map(|layer| layer.chain_id));
        let mut blobs: Vec<Digest> = planned.iter().map(|layer| layer.wanted.digest).collect();
        let held = catalog.blobs.hold(blobs.iter().copied());
        for layer in &mut planned {
            if catalog.layers.find(layer.chain_id).is_some() {
                layer.here = layer.find_blob(catalog);
                blobs.extend(layer.here.as_ref().map(|blob| blob.digest));
            }
        }
        let blobs = catalog.blobs.hold(blobs);
        drop(held);
        Ok(Self { planned, blobs, chains })
    }

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

impl Planned {
    /// A blob of a layer that is unpacked: the one that the manifest names, or another one that it
    /// was unpacked from.
    fn find_blob(&self, catalog: &Catalog) -> Option<Blob> {
        let Wanted { digest, size } = self.wanted;
        if catalog.blobs.has(digest, size) {
            return Some(self.described());
        }
        let images = catalog.read().list();
        let mut layers = images.iter().flat_map(|image| &image.layers);
        layers.find(|layer| layer.diff_id == self.diff_id).map(|layer| layer.blob.clone())
    }

    fn described(&self) -> Blob {
        let Wanted { digest, size } = self.wanted;
        Blob { digest, size, media_type: self.media_type.to_owned() }
    }
}

impl Work<'_> {
    /// Unpacks the layers that are not unpacked, lowest first.
    async fn stack(
        &self,
        planned: &[Planned],
        downloads: &[Option<Arc<Flight<Download>>>],
    ) -> Result<(Vec<Layer>, Vec<Arc<NewLayer>>)> {
        let (mut layers, mut new) = (Vec::<Layer>::new(), Vec::new());
        // Directories of the layers so far, uppermost first.
        let mut stack: Vec<u64> = Vec::new();
        for (planned, download) in planned.iter().zip(downloads) {
            let known = self.images.catalog.layers.find(planned.chain_id);
            let (directory, size, blob) = match (known, download) {
                (Some(record), None) => {
                    let here = planned.here.clone().unwrap_or_else(|| planned.described());
                    (record.directory, record.size, here)
                }
                (Some(record), Some(download)) => {
                    download.done().await?;
                    self.tell_of(planned, LayerStep::Complete).await?;
                    (record.directory, record.size, planned.described())
                }
                (None, Some(download)) => {
                    let below = layers.last().map(|layer| layer.chain_id);
                    let place = Place {
                        chain: planned.chain_id,
                        diff_id: planned.diff_id,
                        below,
                        stack: stack.clone(),
                    };
                    let Unpacked { layer, media_type } =
                        self.unpack(planned, download, place).await?;
                    let (directory, size) = (layer.unpacked.directory(), layer.unpacked.size);
                    new.push(layer);
                    let blob = Blob { media_type: media_type.to_owned(), ..planned.described() };
                    (directory, size, blob)
                }
                (None, None) => {
                    return Err(Error::system(format!("the layer {} is gone", planned.chain_id)));
                }
            };
            stack.insert(0, directory);
            let Planned { diff_id, chain_id, .. } = *planned;
            layers.push(Layer { diff_id, chain_id, blob, size });
        }
        Ok((layers, new))
    }

    async fn unpack(
        &self,
        planned: &Planned,
        download: &Arc<Flight<Download>>,
        place: Place,
    ) -> Result<Unpacked> {
        let flight = self.images.transfers.unpack(self, download, place);
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
        self.tell_of(planned, LayerStep::Complete).await?;
        let unpacked = flight.about().unpacked().cloned();
        unpacked.ok_or_else(|| Error::system(format!("the layer {} is gone", planned.chain_id)))
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

    async fn tell_of(&self, planned: &Planned, step: LayerStep) -> Result<()> {
        self.tell(Step::Layer { blob: planned.wanted.digest, step }).await
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The media type, in OCI's words, of what the manifest describes as a layer.
fn media_type(descriptor: &Descriptor) -> Result<&'static str> {
    let said = descriptor.media_type().to_string();
    match said.as_str() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => {
            Ok("application/vnd.oci.image.layer.v1.tar")
        }
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            Ok("application/vnd.oci.image.layer.v1.tar+gzip")
        }
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            Ok("application/vnd.oci.image.layer.v1.tar+zstd")
        }
        foreign if foreign.contains("foreign") || foreign.contains("nondistributable") => {
            Err(Error::unsupported(format!(
                "the layer {} ({foreign}), which is not kept in registries but at {},",
                descriptor.digest(),
                descriptor.urls().as_ref().map_or("no known place".into(), |urls| urls.join(", "))
            )))
        }
        other => Err(Error::invalid(format!("unsupported media type {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layer(media_type: &str) -> Descriptor {
        let descriptor = json!({
            "mediaType": media_type,
            "digest": Digest::of(b"x").to_string(),
            "size": 1,
            "urls": ["https://elsewhere.test/x"],
        });
        serde_json::from_value(descriptor).unwrap()
    }

    #[test]
    fn layers_that_registries_do_not_keep_are_refused() {
        let foreign = layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let error = media_type(&foreign).unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Unsupported);
        assert!(error.to_string().contains("https://elsewhere.test/x"), "{error}");
        let unknown = media_type(&layer("application/x.y")).unwrap_err();
        assert_eq!(unknown.to_string(), "unsupported media type application/x.y");
    }
}
