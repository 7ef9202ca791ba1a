//! An image as readers see it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::config::ImageConfig;
use super::digest::{ChainId, DiffId, Digest, ImageId};
use super::reference::Reference;

/// An image: its configuration, its layers and the names it has now.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of its configuration.
    pub id: ImageId,
    /// Its names, sorted: tags and digests of manifests.
    pub references: Vec<Reference>,
    /// Its configuration.
    pub config: Arc<ImageConfig>,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// Bytes of the files in all its layers.
    pub size: u64,
    /// When it was last given a name here.
    pub tagged_at: Option<Timestamp>,
    /// The manifest that it came with, if it came with one; a blob of the store.
    pub manifest: Option<Digest>,
    /// The image that it was made of here, by a commit.
    pub parent: Option<ImageId>,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

    /// The snapshot of its uppermost layer; none: it has no layers.
    pub fn top(&self) -> Option<ChainId> {
        self.layers.last().map(|layer| layer.chain_id)
    }
}
