//! `import`: an image with one layer from a root file system's archive.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;

use jiff::Timestamp;

use super::archive::unreadable;
use super::blobs::{Ingest, Ingested};
use super::catalog::{Catalog, New, NewImage};
use super::changes;
use super::compression::Compression;
use super::config::{Defaults, HistoryStep, ImageConfig, RootFs};
use super::digest::{ChainId, DiffId, ImageId};
use super::image::Layer;
use super::platform::Platform;
use super::record::{CONFIG, ImageRecord};
use super::reference::Reference;
use super::{Import, taggable};
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::snapshot::{Lower, NewLayer};

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;

/// A layer that has come in whole: its blob, and what is unpacked of it.
pub(super) struct Received {
    pub(super) blob: Ingested,
    pub(super) media_type: &'static str,
    pub(super) layer: NewLayer,
}

impl Catalog {
    /// Makes an image of `archive`, which is unpacked while it comes in.
    pub(super) fn import(
        &self,
        archive: impl Read + Send + 'static,
        request: Import,
        given_up: &GivenUp,
    ) -> Result<ImageId> {
        // What can be wrong with the request is found before a byte is read.
        let defaults = changes::apply(Defaults::default(), &request.changes)?;
        let platform = match &request.platform {
            Some(platform) => Platform::parse(platform)?,
            None => Platform::host(),
        };
        let name = request.reference.map(taggable).transpose()?;
        let received = self.receive(archive, None, given_up)?;
        let config = configuration(received.layer.diff_id, &platform, defaults, &request.message);
        let imported = self.record(received, config, name.clone());
        self.collect();
        let id = imported?;
        if let Some(name) = name {
            self.tell("tag", id, &name.familiar());
        }
        self.tell("import", id, &id.to_string());
        Ok(id)
    }

    /// Takes in the archive of a layer upon `below`.
    pub(super) fn receive(
        &self,
        archive: impl Read + Send + 'static,
        below: Option<ChainId>,
        given_up: &GivenUp,
    ) -> Result<Received> {
        let stack = self.layers.stack(below)?.into_iter().map(Lower::from).collect();
        self.receive_upon(archive, below, stack, given_up)
    }

    /// The same, where what is below need not be recorded: it is this stack, uppermost first.
    pub(super) fn receive_upon(
        &self,
        archive: impl Read + Send + 'static,
        below: Option<ChainId>,
        stack: Vec<Lower>,
        given_up: &GivenUp,
    ) -> Result<Received> {
        let mut ingest = self.blobs.create()?;
        let source = self.storable(archive, given_up)?;
        let source = Tee { source, copy: &mut ingest, begun: false };
        let done = self.layers.unpack(stack, source, None, given_up)?;
        let diff_id = DiffId(done.digest);
        let chain = ChainId::extend(below, diff_id);
        Ok(Received {
            // Uncompressed, the blob is the layer.
            blob: ingest.finish_hashed(done.digest),
            media_type: done
                .compression
                .layer_media_type()
                .ok_or_else(|| Error::unsupported("an archive that is compressed twice"))?,
            layer: NewLayer { chain, below, diff_id, unpacked: Arc::new(done.outcome) },
        })
    }

    /// The archive as it comes, or uncompressed where no layer may be compressed so.
    fn storable(
        &self,
        archive: impl Read + Send + 'static,
        given_up: &GivenUp,
    ) -> Result<Box<dyn BufRead + Send>> {
        let mut source = BufReader::with_capacity(BUFFER, archive);
        let compression = Compression::detect(source.fill_buf().map_err(unreadable)?)?;
        match compression.layer_media_type() {
            Some(_) => Ok(Box::new(source)),
            None => self.layers.uncompressed(source, compression, given_up),
        }
    }

    fn record(
        &self,
        received: Received,
        config: ImageConfig,
        name: Option<Reference>,
    ) -> Result<ImageId> {
        let Received { blob, media_type, layer } = received;
        let content = serde_json::to_vec(&config)
            .map_err(|error| Error::system(format!("encode the configuration: {error}")))?;
        let config_blob = self.blobs.add(&content)?;
        let _blobs = self.blobs.hold([blob.digest, config_blob.digest]);
        let _layers = self.layers.hold([layer.chain]);
        self.blobs.adopt(&blob)?;
        self.blobs.adopt(&config_blob)?;
        let record = ImageRecord {
            config: config_blob.describe(CONFIG),
            layers: vec![Layer {
                diff_id: layer.diff_id,
                chain_id: layer.chain,
                blob: blob.describe(media_type),
                size: layer.unpacked.size,
            }],
            manifest: None,
            parent: None,
        };
        let id = record.id();
        let names = name.into_iter().collect();
        let image = NewImage { record, config: Arc::new(config), names };
        let layers = vec![Arc::new(layer)];
        self.commit(New { images: vec![image], layers, ..New::default() })?;
        Ok(id)
    }
}

fn configuration(
    diff_id: DiffId,
    platform: &Platform,
    defaults: Defaults,
    message: &str,
) -> ImageConfig {
    let created = Some(Timestamp::now());
    ImageConfig {
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        os: "linux".to_owned(),
        created,
        comment: message.to_owned(),
        defaults,
        rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
        history: vec![HistoryStep {
            created,
            comment: message.to_owned(),
            ..HistoryStep::default()
        }],
        ..ImageConfig::default()
    }
}

/// Keeps a copy of what is read.
struct Tee<'a, R> {
    source: R,
    copy: &'a mut Ingest,
    begun: bool,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        let piece = &buffer[..count];
        // A header's block tells for sure that nothing is compressed: then the layer's own hash
        // is the blob's.
        if !self.begun
            && count >= 512
            && matches!(Compression::detect(piece), Ok(Compression::None))
        {
            self.copy.leave_hashing();
        }
        self.begun = true;
        self.copy.write_all(piece)?;
        Ok(count)
    }
}
