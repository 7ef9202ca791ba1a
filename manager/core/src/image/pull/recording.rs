//! What has come in is recorded.

use std::sync::Arc;

use super::layers::Arrived;
use super::listed::Listed;
use crate::error::Result;
use crate::image::catalog::{Catalog, New, NewImage};
use crate::image::config::ImageConfig;
use crate::image::digest::ImageId;
use crate::image::record::{CONFIG, ImageRecord};
use crate::image::reference::Reference;
use crate::registry::{Manifest, Received};

/// An image that has come in whole.
pub(super) struct Brought {
    pub(super) config: Vec<u8>,
    pub(super) parsed: Arc<ImageConfig>,
    pub(super) names: Vec<Reference>,
    pub(super) manifest: Received,
    pub(super) listed: Option<Listed>,
    pub(super) arrived: Arrived,
}

impl Catalog {
    /// Records an image whose layers have arrived.
    pub(super) fn record_pulled(&self, brought: Brought) -> Result<ImageId> {
        let Brought { config, parsed, names, manifest, listed, arrived } = brought;
        let config = self.blobs.add(&config)?;
        let manifest_blob = self.blobs.add(&manifest.content)?;
        let _blobs = self.blobs.hold([config.digest, manifest_blob.digest]);
        for fetched in arrived.fetched() {
            self.blobs.adopt_fetched(fetched)?;
        }
        self.blobs.adopt(&config)?;
        self.blobs.adopt(&manifest_blob)?;
        // Where a layer was here in another form, the manifest is not what the image now consists
        // of, and is not kept.
        let manifest =
            arrived.as_described.then(|| manifest_blob.describe(manifest.kind.media_type()));
        let record = ImageRecord {
            config: config.describe(CONFIG),
            layers: arrived.layers,
            manifest,
            parent: None,
        };
        let id = record.id();
        let mut new = New { layers: arrived.new, ..New::default() };
        let mut of_image = names;
        let mut _listed = None;
        if let Some(listed) = listed {
            let names = std::mem::take(&mut of_image);
            let (list, held) = self.keep_listed(&listed, id, parsed.platform(), names)?;
            new.lists.push(list);
            _listed = Some(held);
        }
        new.images.push(NewImage { record, config: parsed, names: of_image });
        self.commit(new)?;
        Ok(id)
    }

    /// Records that an image which came without a manifest, or got one here, consists of what the
    /// manifest of a registry names, if it does: then it goes by that digest from now on.
    pub(super) fn adopt_manifest(&self, id: ImageId, received: &Received) -> Result<()> {
        let Manifest::Image(manifest) = &received.manifest else { return Ok(()) };
        let (record, _held) = self.held(id)?;
        if record.manifest.is_some() {
            return Ok(());
        }
        let named = manifest.layers().iter().map(|layer| layer.digest().to_string());
        if !named.eq(record.layers.iter().map(|layer| layer.blob.digest.to_string())) {
            return Ok(());
        }
        let written = self.blobs.add(&received.content)?;
        let _blobs = self.blobs.hold([written.digest]);
        self.blobs.adopt(&written)?;
        let manifest = Some(written.describe(received.kind.media_type()));
        self.replace(&record, ImageRecord { manifest, ..record.clone() })
    }
}
