//! Docker's form of an archive: `manifest.json` lists configurations, layers and tags.

use std::collections::HashMap;

use serde::Deserialize;

use super::found::{Found, FoundImage, check_count};
use super::spool::Spool;
use crate::error::{Error, Result};
use crate::image::blobs::Blobs;
use crate::image::digest::{Digest, ImageId};
use crate::image::reference::Reference;

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
    #[serde(default)]
    parent: Option<String>,
}

/// The images that `manifest` lists.
pub(super) fn find(spool: &Spool, manifest: &[u8], blobs: &Blobs) -> Result<Found> {
    let items: Option<Vec<Item>> = serde_json::from_slice(manifest).map_err(|error| {
        Error::invalid(format!("invalid archive: failed to decode manifest.json: {error}"))
    })?;
    let items = items.ok_or_else(|| {
        Error::invalid("invalid manifest, manifest cannot be null (but can be [])")
    })?;
    check_count(items.len())?;
    let mut images: Vec<FoundImage> = Vec::new();
    for item in items {
        let names = names(&item)?;
        let id = ImageId(spool.require(&item.config)?.digest);
        match images.iter_mut().find(|other| other.id() == id) {
            Some(same) => same.names.extend(names),
            None => images.push(FoundImage { names, ..image(spool, item, blobs)? }),
        }
    }
    forget_strangers(&mut images);
    Ok(Found { images, lists: Vec::new() })
}

fn image(spool: &Spool, item: Item, blobs: &Blobs) -> Result<FoundImage> {
    let config = spool.require(&item.config)?.clone();
    let layers = item.layers.unwrap_or_default();
    let layers: Result<Vec<_>> = layers.iter().map(|path| spool.require(path).cloned()).collect();
    let mut image = FoundImage::new(config, layers?, blobs)?;
    let parent = item.parent.and_then(|parent| parent.parse::<Digest>().ok());
    image.parent = parent.map(ImageId);
    Ok(image)
}

fn names(item: &Item) -> Result<Vec<Reference>> {
    let names = item.repo_tags.iter().flatten().map(|tag| {
        let name = Reference::parse(tag)?;
        match (name.tag(), name.digest()) {
            (Some(_), None) => Ok(name),
            (None, _) => Err(Error::invalid(format!("invalid tag {tag:?}"))),
            (Some(_), Some(_)) => {
                Err(Error::invalid("refusing to create a tag with a digest reference"))
            }
        }
    });
    names.collect()
}

/// A parent counts that is in the archive, and whose history the image continues by one step.
fn forget_strangers(images: &mut [FoundImage]) {
    let histories: HashMap<ImageId, _> =
        images.iter().map(|image| (image.id(), image.parsed.history.clone())).collect();
    for image in images {
        let own = &image.parsed.history;
        image.parent = image.parent.filter(|parent| {
            let of_parent =
                histories.get(parent).filter(|_| *parent != ImageId(image.config.digest));
            of_parent
                .is_some_and(|history| own.len() == history.len() + 1 && own.starts_with(history))
        });
    }
}
