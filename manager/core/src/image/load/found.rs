//! What an archive describes, before any of it is taken in.

use std::sync::Arc;

use super::spool::Spooled;
use crate::error::{Error, Result};
use crate::image::blobs::Blobs;
use crate::image::config::ImageConfig;
use crate::image::digest::{Digest, ImageId};
use crate::image::image::Blob;
use crate::image::platform::Platform;
use crate::image::record::{CONFIG, ImageRecord};
use crate::image::reference::Reference;
use crate::snapshot::MOST_LAYERS;

/// More images than any honest archive has: each takes a look at a few files.
const MOST_IMAGES: usize = 1 << 14;

/// Whether an archive may list as many images.
///
/// # Errors
/// [`crate::Kind::Invalid`] if not.
pub(super) fn check_count(images: usize) -> Result<()> {
    if images > MOST_IMAGES {
        return Err(Error::invalid(format!(
            "invalid archive: it lists {images} images; {MOST_IMAGES} are allowed"
        )));
    }
    Ok(())
}

/// Everything in it.
#[derive(Default)]
pub(super) struct Found {
    pub(super) images: Vec<FoundImage>,
    pub(super) lists: Vec<FoundList>,
}

/// An image.
pub(super) struct FoundImage {
    pub(super) config: Spooled,
    pub(super) parsed: Arc<ImageConfig>,
    pub(super) layers: Vec<Spooled>,
    pub(super) manifest: Option<Described>,
    pub(super) names: Vec<Reference>,
    /// The image that it was made of, if that is in the archive, too.
    pub(super) parent: Option<ImageId>,
}

/// A list of images for several platforms.
pub(super) struct FoundList {
    pub(super) list: Described,
    pub(super) variants: Vec<FoundVariant>,
    /// What else of it is in the archive: lists in the list, attestations.
    pub(super) others: Vec<Described>,
    pub(super) names: Vec<Reference>,
}

/// An image of a list.
pub(super) struct FoundVariant {
    pub(super) platform: Platform,
    pub(super) manifest: Described,
    pub(super) image: ImageId,
}

/// A blob, and what it is.
#[derive(Clone)]
pub(super) struct Described {
    pub(super) blob: Spooled,
    pub(super) media_type: String,
}

impl Described {
    pub(super) fn describe(&self) -> Blob {
        self.blob.describe(&self.media_type)
    }
}

impl Found {
    /// Adds what OCI's index, `beside` docker's manifest, knows more: names that stand for lists,
    /// the lists' images, and manifests.
    pub(super) fn with_index(mut self, beside: Self) -> Self {
        for list in &beside.lists {
            for image in &mut self.images {
                image.names.retain(|name| !list.names.contains(name));
            }
        }
        for other in beside.images {
            match self.images.iter_mut().find(|image| image.id() == other.id()) {
                Some(image) if image.is_same_as(&other) => {
                    // One whose layers are all uncompressed was only made up for the archive: a
                    // push compresses them.
                    let came = other.layers.iter().any(|layer| !other.is_plain(layer));
                    image.manifest = other.manifest.filter(|_| came);
                }
                Some(_) => {}
                None => self.images.push(other),
            }
        }
        Self { images: self.images, lists: beside.lists }
    }

    /// What of it is for this platform.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if nothing is.
    pub(super) fn only_for(mut self, platform: &Platform) -> Result<Self> {
        let suits = |offered: &Platform| platform.rank_of(offered).is_some();
        self.images.retain(|image| suits(&image.parsed.platform()));
        for list in &mut self.lists {
            list.variants.retain(|variant| suits(&variant.platform));
        }
        self.lists.retain(|list| !list.variants.is_empty());
        if self.images.is_empty() {
            let text = format!("requested platform ({platform}) not found in the archive");
            return Err(Error::not_found(text));
        }
        Ok(self)
    }

    /// Every blob of it.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Spooled> {
        let of_lists = self.lists.iter().flat_map(|list| {
            let manifests = list.variants.iter().map(|variant| &variant.manifest);
            std::iter::once(&list.list).chain(manifests).chain(&list.others)
        });
        let images = self.images.iter().flat_map(FoundImage::blobs);
        images.chain(of_lists.map(|described| &described.blob))
    }
}

impl FoundImage {
    /// An image with this configuration and these layers.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a configuration that is none, of other layers, or of too many.
    pub(super) fn new(config: Spooled, layers: Vec<Spooled>, blobs: &Blobs) -> Result<Self> {
        let parsed = ImageConfig::parse(&config.small(blobs)?)?;
        let (expected, actual) = (layers.len(), parsed.rootfs.diff_ids.len());
        if expected != actual {
            return Err(Error::invalid(format!(
                "invalid manifest, layers length mismatch: expected {expected}, got {actual}"
            )));
        }
        if actual > MOST_LAYERS {
            return Err(Error::invalid(format!("max depth exceeded: {MOST_LAYERS} layers")));
        }
        let (parsed, names) = (Arc::new(parsed), Vec::new());
        Ok(Self { config, parsed, layers, manifest: None, names, parent: None })
    }

    pub(super) fn id(&self) -> ImageId {
        ImageId(self.config.digest)
    }

    /// What is recorded of it, but for its layers.
    pub(super) fn record(&self) -> ImageRecord {
        ImageRecord {
            config: self.config.describe(CONFIG),
            layers: Vec::new(),
            manifest: self.manifest.as_ref().map(Described::describe),
            parent: self.parent,
        }
    }

    fn blobs(&self) -> impl Iterator<Item = &Spooled> {
        let manifest = self.manifest.as_ref().map(|manifest| &manifest.blob);
        std::iter::once(&self.config).chain(&self.layers).chain(manifest)
    }

    /// Whether both have the very same layers.
    fn is_same_as(&self, other: &Self) -> bool {
        let digests =
            |image: &Self| image.layers.iter().map(|layer| layer.digest).collect::<Vec<Digest>>();
        digests(self) == digests(other)
    }

    /// Whether a layer is there uncompressed.
    fn is_plain(&self, layer: &Spooled) -> bool {
        self.parsed.rootfs.diff_ids.iter().any(|diff_id| diff_id.digest() == layer.digest)
    }
}
