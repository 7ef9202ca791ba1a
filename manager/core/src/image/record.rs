//! What the store keeps about images.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::{Digest, ImageId};
use super::image::{Blob, Layer};
use super::platform::Platform;
use crate::store::Table;

/// The media type of an image's configuration.
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Images, by id.
pub(super) const IMAGES: Table<ImageRecord> = Table::new("images");

/// Names, by the whole reference.
pub(super) const REFERENCES: Table<ReferenceRecord> = Table::new("references");

/// Lists of images for several platforms (manifest lists; OCI's word is index), by digest.
pub(super) const LISTS: Table<ListRecord> = Table::new("manifest-lists");

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    /// Its configuration; its digest is the image's id.
    pub(super) config: Blob,
    /// Its layers, lowest first.
    pub(super) layers: Vec<Layer>,
    /// The manifest that it came with.
    pub(super) manifest: Option<Blob>,
    /// The image that a commit made it of.
    #[serde(default)]
    pub(super) parent: Option<ImageId>,
}

/// A name of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ReferenceRecord {
    /// The image; of a list, the one that suited this machine best when this was written.
    pub(super) image: ImageId,
    /// The list that the name stands for, if it stands for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) list: Option<Digest>,
    /// Since when it has the name.
    pub(super) tagged_at: Timestamp,
}

/// A list of images for several platforms: it is kept as it came, with what of it is here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ListRecord {
    /// The list itself.
    pub(super) list: Blob,
    /// Its images that are here.
    pub(super) variants: Vec<Variant>,
    /// What else of it is here: the lists between it and its images; attestations, each with its
    /// manifest and all that this names.
    pub(super) others: Vec<Blob>,
}

/// An image of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Variant {
    /// What it is for, as the list says.
    pub(super) platform: Platform,
    /// Its manifest, as the list names it.
    pub(super) manifest: Blob,
    /// The image.
    pub(super) image: ImageId,
}

impl ListRecord {
    /// Every blob that it needs besides those of its images.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        let manifests = self.variants.iter().map(|variant| &variant.manifest);
        std::iter::once(&self.list).chain(manifests).chain(&self.others)
    }

    /// The image that suits `wanted` best; without a wish, this machine, or else any.
    pub(super) fn best(&self, wanted: Option<&Platform>) -> Option<&Variant> {
        let host = Platform::host();
        let suiting = wanted.unwrap_or(&host);
        let ranked = self
            .variants
            .iter()
            .filter_map(|variant| Some((suiting.rank_of(&variant.platform)?, variant)));
        let best = ranked.min_by_key(|(rank, _)| *rank).map(|(_, variant)| variant);
        best.or_else(|| self.variants.first().filter(|_| wanted.is_none()))
    }

    /// Adds what `other`, which is about the same list, has more.
    pub(super) fn merge(&mut self, other: Self) {
        for variant in other.variants {
            if !self.variants.iter().any(|known| known.manifest.digest == variant.manifest.digest) {
                self.variants.push(variant);
            }
        }
        for blob in other.others {
            if !self.others.contains(&blob) {
                self.others.push(blob);
            }
        }
    }
}

impl ReferenceRecord {
    /// What the name stands for.
    pub(super) fn target(&self) -> Target {
        self.list.map_or(Target::Image(self.image), Target::List)
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// An image.
    Image(ImageId),
    /// A list, of whose images that are here the best is meant.
    List(Digest),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(id) => id.fmt(f),
            Self::List(digest) => digest.fmt(f),
        }
    }
}

impl ImageRecord {
    /// The image's id.
    pub(super) fn id(&self) -> ImageId {
        ImageId(self.config.digest)
    }

    /// Every blob that it needs.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        let layers = self.layers.iter().map(|layer| &layer.blob);
        std::iter::once(&self.config).chain(layers).chain(&self.manifest)
    }
}
