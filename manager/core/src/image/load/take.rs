//! From what an archive describes to images that are recorded.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::found::{Described, Found, FoundList};
use crate::error::Result;
use crate::given_up::GivenUp;
use crate::image::catalog::{Catalog, New, NewImage, NewList};
use crate::image::config::ImageConfig;
use crate::image::digest::{ChainId, ImageId};
use crate::image::record::{ImageRecord, ListRecord, Variant};
use crate::image::{Loaded, Progress};

impl Catalog {
    /// Unpacks what is not here yet, and records everything at once.
    pub(super) fn take(
        &self,
        found: &Found,
        progress: &mpsc::Sender<Progress>,
        given_up: &GivenUp,
    ) -> Result<Vec<Loaded>> {
        let _blobs = self.blobs.hold(found.blobs().map(|blob| blob.digest));
        let chains = found.images.iter().flat_map(|image| chain_ids(&image.parsed));
        let _layers = self.layers.hold(chains);
        let unpacked = self.unpack_layers(&found.images, progress, given_up)?;
        let mut images = Vec::new();
        for image in &found.images {
            let layers = unpacked.layers(image, self)?;
            let record = ImageRecord { layers, ..image.record() };
            let (config, names) = (Arc::clone(&image.parsed), image.names.clone());
            images.push(NewImage { record, config, names });
        }
        for blob in found.blobs() {
            self.blobs.adopt(blob)?;
        }
        let layers = unpacked.new.into_values().map(Arc::new).collect();
        // A list without a name would be nobody's; its images are there by themselves.
        let named = found.lists.iter().filter(|list| !list.names.is_empty());
        let lists = named.clone().map(FoundList::record).collect();
        let mut loaded = self.commit(New { images, lists, layers })?;
        // Of the images of a list, the one that is meant by its names tells of it.
        let listed: HashSet<ImageId> =
            named.flat_map(|list| list.variants.iter().map(|variant| variant.image)).collect();
        loaded.retain(|image| !image.tags.is_empty() || !listed.contains(&image.id));
        Ok(loaded)
    }
}

impl FoundList {
    fn record(&self) -> NewList {
        let variants = self.variants.iter().map(|variant| Variant {
            platform: variant.platform.clone(),
            manifest: variant.manifest.describe(),
            image: variant.image,
        });
        let record = ListRecord {
            list: self.list.describe(),
            variants: variants.collect(),
            others: self.others.iter().map(Described::describe).collect(),
        };
        NewList { record, names: self.names.clone() }
    }
}

fn chain_ids(config: &ImageConfig) -> Vec<ChainId> {
    let mut below = None;
    let chain = config.rootfs.diff_ids.iter().map(|diff_id| {
        let chain = ChainId::extend(below, *diff_id);
        below = Some(chain);
        chain
    });
    chain.collect()
}
