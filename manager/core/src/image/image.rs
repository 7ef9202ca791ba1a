//! An image as readers see it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::config::ImageConfig;
use super::digest::{ChainId, DiffId, Digest, ImageId};
use super::platform::Platform;
use super::reference::Reference;

/// An image: its configuration, its layers and the names it has now.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of its configuration.
    pub id: ImageId,
    /// Its names, sorted: tags and digests of manifests. A name of several images is that of the one
    /// which suits this machine best.
    pub references: Vec<Reference>,
    /// Names that stand for it, too, but for an image that suits this machine better in the first
    /// place.
    pub variant_of: Vec<Reference>,
    /// The other images that its names stand for: the same for other platforms.
    pub variants: Vec<ImageId>,
    /// The manifest lists that its names stand for; blobs of the store.
    pub lists: Vec<Digest>,
    /// Its configuration.
    pub config: Arc<ImageConfig>,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// Bytes of the files in all its layers.
    pub size: u64,
    /// When it was last given a name here.
    pub tagged_at: Option<Timestamp>,
    /// What has its names, the list or its own manifest; none: it has no manifest.
    pub target: Option<Blob>,
    /// The manifest that it came with, if it came with one; a blob of the store.
    pub manifest: Option<Digest>,
    /// The image that it was made of here, by a commit.
    pub parent: Option<ImageId>,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its content.
    pub diff_id: DiffId,
    /// It and all below it: the name of its snapshot.
    pub chain_id: ChainId,
    /// The blob that it was unpacked from.
    pub blob: Blob,
    /// Bytes of the files in it.
    pub size: u64,
}

/// A blob of the store, described as a manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// What it is, by OCI's media type.
    pub media_type: String,
}

impl Image {
    /// Its tags in docker's short form, as `RepoTags` shows them.
    pub fn repo_tags(&self) -> Vec<String> {
        let tags = self.references.iter().filter(|reference| reference.tag().is_some());
        tags.map(Reference::familiar).collect()
    }

    /// Its digests in docker's short form, as `RepoDigests` shows them.
    pub fn repo_digests(&self) -> Vec<String> {
        let digests = self.references.iter().filter(|reference| reference.tag().is_none());
        digests.map(Reference::familiar).collect()
    }

    /// All names that stand for it, first or not.
    pub fn all_names(&self) -> impl Iterator<Item = &Reference> {
        self.references.iter().chain(&self.variant_of)
    }

    /// Whether its names stand for the image `id`, too.
    pub fn stands_for(&self, id: &str) -> bool {
        std::iter::once(&self.id).chain(&self.variants).any(|other| other.to_string() == id)
    }

    /// Whether it is only there as another platform's variant of an image.
    pub fn is_variant_only(&self) -> bool {
        self.references.is_empty() && !self.variant_of.is_empty()
    }

    /// What it is for.
    pub fn platform(&self) -> Platform {
        self.config.platform()
    }

    /// The snapshot of its uppermost layer; none: it has no layers.
    pub fn top(&self) -> Option<ChainId> {
        self.layers.last().map(|layer| layer.chain_id)
    }
}
