//! From what an archive describes to images that are recorded.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Found;
use super::spool::Spooled;
use crate::error::{Error, Result};
use crate::image::archive::unreadable;
use crate::image::catalog::{Catalog, New, NewImage};
use crate::image::compression::Compression;
use crate::image::config::ImageConfig;
use crate::image::digest::{ChainId, DiffId};
use crate::image::image::Layer;
use crate::image::pipeline::decoded;
use crate::image::record::{CONFIG, ImageRecord};
use crate::image::{Loaded, Progress};
use crate::snapshot::{Lower, NewLayer, SnapshotId};

/// Bytes between two reports of progress.
const REPORT_EVERY: u64 = 1 << 20;

/// The layers that this load has unpacked so far.
type Unpacked = HashMap<ChainId, NewLayer>;

impl Catalog {
    /// Unpacks what is not here yet, and records all images at once.
    pub(super) fn take(
        &self,
        found: &[Found],
        progress: &mpsc::Sender<Progress>,
    ) -> Result<Vec<Loaded>> {
        let configs: Result<Vec<_>> = found.iter().map(|found| self.config(found)).collect();
        let configs = configs?;
        let blobs = found.iter().flat_map(Found::blobs).map(|blob| blob.digest);
        let _blobs = self.blobs.hold(blobs);
        let _layers = self.layers.hold(configs.iter().flat_map(chain_ids));
        let mut unpacked = Unpacked::new();
        let mut images = Vec::new();
        for (found, config) in found.iter().zip(configs) {
            let work = Work { catalog: self, progress };
            let layers = work.layers(found, &config, &mut unpacked)?;
            images.push(found.image(layers, config));
        }
        for blob in found.iter().flat_map(Found::blobs) {
            self.blobs.adopt(blob)?;
        }
        let layers = unpacked.into_values().map(Arc::new).collect();
        self.commit(New { images, layers, ..New::default() })
    }

    fn config(&self, found: &Found) -> Result<Arc<ImageConfig>> {
        let config = ImageConfig::parse(&found.config.small(&self.blobs)?)?;
        let (expected, actual) = (found.layers.len(), config.rootfs.diff_ids.len());
        if expected != actual {
            return Err(Error::invalid(format!(
                "invalid manifest, layers length mismatch: expected {expected}, got {actual}"
            )));
        }
        Ok(Arc::new(config))
    }
}

impl Found {
    fn blobs(&self) -> impl Iterator<Item = &Spooled> {
        let manifest = self.manifest.as_ref().map(|manifest| &manifest.blob);
        std::iter::once(&self.config).chain(&self.layers).chain(manifest)
    }

    fn image(&self, layers: Vec<Layer>, config: Arc<ImageConfig>) -> NewImage {
        let manifest = self.manifest.as_ref();
        let record = ImageRecord {
            config: self.config.describe(CONFIG),
            layers,
            manifest: manifest.map(|manifest| manifest.blob.describe(&manifest.media_type)),
            parent: None,
        };
        NewImage { record, config, names: self.names.clone() }
    }
}

struct Work<'a> {
    catalog: &'a Catalog,
    progress: &'a mpsc::Sender<Progress>,
}

impl Work<'_> {
    /// Unpacks the layers of one image that are not unpacked yet, lowest first.
    fn layers(
        &self,
        found: &Found,
        config: &ImageConfig,
        unpacked: &mut Unpacked,
    ) -> Result<Vec<Layer>> {
        let mut layers: Vec<Layer> = Vec::new();
        // The layers so far, uppermost first.
        let mut stack: Vec<SnapshotId> = Vec::new();
        for (position, (blob, diff_id)) in
            found.layers.iter().zip(&config.rootfs.diff_ids).enumerate()
        {
            let below = layers.last().map(|layer| layer.chain_id);
            let chain_id = ChainId::extend(below, *diff_id);
            let (snapshot, size, media_type);
            if let Some(known) = self.known(chain_id, unpacked) {
                (snapshot, size) = known;
                media_type = self.verify(blob, *diff_id, position)?;
            } else {
                let new;
                (new, media_type) = self.unpack(blob, *diff_id, below, &stack, position)?;
                (snapshot, size) = (new.unpacked.snapshot(), new.unpacked.size);
                unpacked.insert(chain_id, new);
            }
            stack.insert(0, snapshot);
            let blob = blob.describe(media_type);
            layers.push(Layer { diff_id: *diff_id, chain_id, blob, size });
        }
        Ok(layers)
    }

    /// The snapshot and size of a layer that is there, or that this load has unpacked.
    fn known(&self, chain: ChainId, unpacked: &Unpacked) -> Option<(SnapshotId, u64)> {
        let recorded = self.catalog.layers.find(chain);
        let recorded = recorded.map(|record| (record.snapshot(), record.size));
        let new = || unpacked.get(&chain).map(|new| (new.unpacked.snapshot(), new.unpacked.size));
        recorded.or_else(new)
    }

    fn unpack(
        &self,
        blob: &Spooled,
        diff_id: DiffId,
        below: Option<ChainId>,
        stack: &[SnapshotId],
        position: usize,
    ) -> Result<(NewLayer, &'static str)> {
        let layers = &self.catalog.layers;
        let source = self.source(blob, diff_id)?;
        let stack = stack.iter().copied().map(Lower::from).collect();
        let done = decoded(source, |chunks| layers.unpack(below, stack, chunks))
            .map_err(|error| error.while_doing(format_args!("layer {position}")))?;
        check(diff_id, DiffId(done.digest), position)?;
        let chain = ChainId::extend(below, diff_id);
        let media_type = media_type(done.compression, position)?;
        Ok((NewLayer { chain, diff_id, unpacked: done.outcome }, media_type))
    }

    /// Makes sure that a blob is the layer that it is said to be, without unpacking it.
    fn verify(&self, blob: &Spooled, diff_id: DiffId, position: usize) -> Result<&'static str> {
        if blob.digest == diff_id.digest() {
            return media_type(Compression::None, position);
        }
        let source = self.source(blob, diff_id)?;
        let done = decoded(source, |chunks| io::copy(chunks, &mut io::sink()).map_err(unreadable))?;
        check(diff_id, DiffId(done.digest), position)?;
        media_type(done.compression, position)
    }

    fn source(&self, blob: &Spooled, layer: DiffId) -> Result<impl Read + Send + use<>> {
        Ok(Reported {
            inner: blob.open(&self.catalog.blobs)?,
            progress: self.progress.clone(),
            state: Progress { layer, current: 0, total: blob.size },
            reported: 0,
        })
    }
}

fn media_type(compression: Compression, position: usize) -> Result<&'static str> {
    compression.layer_media_type().ok_or_else(|| {
        Error::unsupported(format!("layer {position}, compressed by something but gzip or zstd,"))
    })
}

fn check(expected: DiffId, actual: DiffId, position: usize) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "invalid diffID for layer {position}: expected \"{expected}\", got \"{actual}\""
    )))
}

fn chain_ids(config: &Arc<ImageConfig>) -> Vec<ChainId> {
    let mut below = None;
    let chain = config.rootfs.diff_ids.iter().map(|diff_id| {
        let chain = ChainId::extend(below, *diff_id);
        below = Some(chain);
        chain
    });
    chain.collect()
}

/// Tells how far the reading of a blob is. A listener that is slow misses reports.
struct Reported<R> {
    inner: R,
    progress: mpsc::Sender<Progress>,
    state: Progress,
    reported: u64,
}

impl<R: Read> Read for Reported<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.state.current += count as u64;
        let due = self.state.current - self.reported >= REPORT_EVERY;
        if due || (count > 0 && self.state.current == self.state.total) {
            self.reported = self.state.current;
            let _ = self.progress.try_send(self.state.clone());
        }
        Ok(count)
    }
}
