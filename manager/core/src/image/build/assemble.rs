//! Images of layers that a build made are recorded, all at once.

use std::sync::Arc;

use super::{Building, Packed};
use crate::error::{Error, Result};
use crate::image::Platform;
use crate::image::catalog::{New, NewImage, NewList};
use crate::image::config::ImageConfig;
use crate::image::digest::ImageId;
use crate::image::image::{Blob, Layer};
use crate::image::record::{CONFIG, ImageRecord, ListRecord, Variant};
use crate::image::reference::Reference;
use crate::snapshot::NewLayer;

/// An image to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct Assembled {
    /// Its configuration, to the letter.
    pub(crate) config: Vec<u8>,
    /// Its layers, lowest first: some of them recorded, others come with it.
    pub(crate) layers: Vec<Layer>,
    /// Its manifest, to the letter, and of which type that is; none: it has none.
    pub(crate) manifest: Option<(Vec<u8>, String)>,
    /// The image that it was made of, where that is to be shown.
    pub(crate) parent: Option<ImageId>,
    /// The names that it gets.
    pub(crate) names: Vec<Reference>,
}

/// A list of images for several platforms.
#[derive(Debug, Clone)]
pub(crate) struct NewIndex {
    /// It, to the letter.
    pub(crate) content: Vec<u8>,
    /// Of which type it is.
    pub(crate) media_type: String,
    /// What each of the images is for, in the same order.
    pub(crate) platforms: Vec<Platform>,
    /// The names that it gets.
    pub(crate) names: Vec<Reference>,
}

/// What is recorded at once.
#[derive(Default)]
pub(crate) struct Assembly {
    /// Layers, each with its blob; those that are recorded already may be among them.
    pub(crate) layers: Vec<(Arc<NewLayer>, Arc<Packed>)>,
    /// Images.
    pub(crate) images: Vec<Assembled>,
    /// What stands for all of these, if something does.
    pub(crate) index: Option<NewIndex>,
}

impl Building<'_> {
    /// Records layers and images. All that the images are made of is held by the caller.
    ///
    /// # Errors
    /// [`crate::Kind::Exhausted`] on a full disk; [`crate::Kind::Invalid`] for a configuration that
    /// is none.
    pub(crate) fn assemble(&self, assembly: Assembly) -> Result<Vec<ImageId>> {
        let catalog = self.0;
        let Assembly { layers, images, index } = assembly;
        let mut holds = Vec::new();
        let mut adopt = |content: &[u8], media_type: &str| -> Result<Blob> {
            let blob = catalog.blobs.add(content)?;
            holds.push(catalog.blobs.hold([blob.digest]));
            catalog.blobs.adopt(&blob)?;
            Ok(blob.describe(media_type))
        };
        let mut new_images = Vec::with_capacity(images.len());
        let mut told = Vec::new();
        for image in images {
            let config = ImageConfig::parse(&image.config)?;
            check_layers(&config, &image.layers)?;
            let manifest = image.manifest.as_ref();
            let manifest = manifest.map(|(content, kind)| adopt(content, kind)).transpose()?;
            let record = ImageRecord {
                config: adopt(&image.config, CONFIG)?,
                layers: image.layers,
                manifest,
                parent: image.parent,
            };
            told.push((record.id(), image.names.clone()));
            new_images.push(NewImage { record, config: Arc::new(config), names: image.names });
        }
        let lists = match index {
            Some(index) => {
                let list = adopt(&index.content, &index.media_type)?;
                vec![list_of(list, index, &new_images)?]
            }
            None => Vec::new(),
        };
        for (_, packed) in &layers {
            catalog.blobs.adopt(&packed.blob)?;
        }
        let list_names: Vec<Reference> = lists.iter().flat_map(|list| list.names.clone()).collect();
        let layers = layers.into_iter().map(|(layer, _)| layer).collect();
        catalog.commit(New { images: new_images, lists, layers })?;
        drop(holds);
        for (number, (id, names)) in told.iter().enumerate() {
            catalog.tell("create", *id, &id.to_string());
            let of_list = if number == 0 { list_names.as_slice() } else { &[] };
            names.iter().chain(of_list).for_each(|name| catalog.tell("tag", *id, &name.familiar()));
        }
        Ok(told.into_iter().map(|(id, _)| id).collect())
    }
}

/// The configuration and the layers must say the same.
fn check_layers(config: &ImageConfig, layers: &[Layer]) -> Result<()> {
    if config.rootfs.diff_ids.iter().eq(layers.iter().map(|layer| &layer.diff_id)) {
        return Ok(());
    }
    Err(Error::invalid("the configuration of the image names other layers than it has"))
}

fn list_of(list: Blob, index: NewIndex, images: &[NewImage]) -> Result<NewList> {
    let variant = |(platform, image): (Platform, &NewImage)| {
        let manifest = image.record.manifest.clone();
        let manifest =
            manifest.ok_or_else(|| Error::invalid("an image of an index has no manifest"))?;
        Ok(Variant { platform, manifest, image: image.record.id() })
    };
    let variants = index.platforms.into_iter().zip(images).map(variant);
    let record =
        ListRecord { list, variants: variants.collect::<Result<_>>()?, others: Vec::new() };
    Ok(NewList { record, names: index.names })
}
