//! What the store keeps about images.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::ImageId;
use super::image::{Blob, Layer};
use crate::store::Table;

/// The media type of an image's configuration.
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Images, by id.
pub(super) const IMAGES: Table<ImageRecord> = Table::new("images");

/// Names, by the whole reference.
pub(super) const REFERENCES: Table<ReferenceRecord> = Table::new("references");

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
    /// The image.
    pub(super) image: ImageId,
    /// Since when it has the name.
    pub(super) tagged_at: Timestamp,
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
