//! `import`: an image with one layer from a root file system's archive.

use std::io::{self, Read, Write};
use std::sync::Arc;

use jiff::Timestamp;

use super::Import;
use super::archive::Archive;
use super::blobs::Ingest;
use super::catalog::{Catalog, NewImage};
use super::changes;
use super::compression::Compression;
use super::config::{Defaults, HistoryStep, ImageConfig, RootFs};
use super::digest::{ChainId, DiffId, ImageId};
use super::image::{Blob, Layer};
use super::pipeline::decoded;
use super::platform::Platform;
use super::record::ImageRecord;
use crate::error::{Error, Result};
use crate::snapshot::NewLayer;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

impl Catalog {
    /// Makes an image of `archive`, which is unpacked while it comes in.
    pub(super) fn import(&self, archive: impl Read + Send, request: Import) -> Result<ImageId> {
        // What can be wrong with the request is found before a byte is read.
        let defaults = changes::apply(Defaults::default(), &request.changes)?;
        let platform = match &request.platform {
            Some(platform) => Platform::parse(platform)?,
            None => Platform::host(),
        };
        let imported = self.import_layer(
            archive,
            |diff_id| configuration(diff_id, &platform, defaults, &request.message),
            request.reference,
        );
        self.collect();
        let id = imported?;
        self.tell("import", id, &id.to_string());
        Ok(id)
    }

    fn import_layer(
        &self,
        archive: impl Read + Send,
        configure: impl FnOnce(DiffId) -> ImageConfig,
        name: Option<super::Reference>,
    ) -> Result<ImageId> {
        let mut ingest = self.blobs.create()?;
        let source = Tee { source: archive, copy: &mut ingest, begun: false };
        let done =
            decoded(source, |chunks| self.layers.unpack(None, &[], &mut Archive::new(chunks)))?;
        // Uncompressed, the blob is the layer.
        let blob = ingest.finish_hashed(done.digest);
        let diff_id = DiffId(done.digest);
        let chain = ChainId::extend(None, diff_id);

        let config = configure(diff_id);
        let content = serde_json::to_vec(&config)
            .map_err(|error| Error::system(format!("encode the configuration: {error}")))?;
        let config_blob = self.blobs.add(&content)?;
        let _blobs = self.blobs.hold([blob.digest, config_blob.digest]);
        let _layers = self.layers.hold([chain]);
        self.blobs.adopt(&blob)?;
        self.blobs.adopt(&config_blob)?;

        let media_type = done.compression.layer_media_type().to_owned();
        let layer = Layer {
            diff_id,
            chain_id: chain,
            blob: Blob { digest: blob.digest, size: blob.size, media_type },
            size: done.outcome.size,
        };
        let record = ImageRecord {
            config: Blob {
                digest: config_blob.digest,
                size: config_blob.size,
                media_type: CONFIG.to_owned(),
            },
            layers: vec![layer],
            manifest: None,
        };
        let id = record.id();
        let names = name.into_iter().map(super::Reference::or_latest).collect();
        let image = NewImage { record, config: Arc::new(config), names };
        self.commit(vec![image], vec![NewLayer { chain, diff_id, unpacked: done.outcome }])?;
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
