//! What readers see: every image and every name, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::config::ImageConfig;
use super::digest::{ChainId, Digest, ImageId};
use super::image::Image;
use super::record::ImageRecord;
use super::reference::Reference;
use crate::error::{Error, Result};
use crate::snapshot::Hold;

/// All images and names.
#[derive(Default)]
pub(super) struct Index {
    images: BTreeMap<ImageId, Indexed>,
    references: BTreeMap<Reference, ImageId>,
}

/// An image with all that it needs.
pub(super) struct Indexed {
    pub(super) record: ImageRecord,
    pub(super) config: Arc<ImageConfig>,
    /// Its names, and since when it has them.
    names: BTreeMap<Reference, Timestamp>,
    /// What readers get; follows the names.
    shown: Arc<Image>,
    /// Keeps its blobs.
    _blobs: Hold<Digest>,
    /// Keeps its layers.
    _layers: Hold<ChainId>,
}

impl Indexed {
    /// An image without names.
    pub(super) fn new(
        record: ImageRecord,
        config: Arc<ImageConfig>,
        blobs: Hold<Digest>,
        layers: Hold<ChainId>,
    ) -> Self {
        let names = BTreeMap::new();
        let shown = Arc::new(show(&record, &config, &names));
        Self { record, config, names, shown, _blobs: blobs, _layers: layers }
    }

    /// What readers get.
    pub(super) fn shown(&self) -> Arc<Image> {
        Arc::clone(&self.shown)
    }

    fn refresh(&mut self) {
        self.shown = Arc::new(show(&self.record, &self.config, &self.names));
    }
}

fn show(
    record: &ImageRecord,
    config: &Arc<ImageConfig>,
    names: &BTreeMap<Reference, Timestamp>,
) -> Image {
    Image {
        id: record.id(),
        references: names.keys().cloned().collect(),
        config: Arc::clone(config),
        layers: record.layers.clone(),
        size: record.layers.iter().map(|layer| layer.size).sum(),
        tagged_at: names.values().max().copied(),
        manifest: record.manifest.as_ref().map(|manifest| manifest.digest),
        parent: record.parent,
    }
}

impl Index {
    /// Every name of one repository with its image.
    pub(super) fn of_repository(&self, name: &Reference) -> Vec<(Reference, ImageId)> {
        let same = self.references.iter().filter(|(other, _)| other.same_repository(name));
        same.map(|(name, id)| (name.clone(), *id)).collect()
    }

    /// Every image.
    pub(super) fn list(&self) -> Vec<Arc<Image>> {
        self.images.values().map(Indexed::shown).collect()
    }

    /// The image with this id.
    pub(super) fn image(&self, id: ImageId) -> Option<&Indexed> {
        self.images.get(&id)
    }

    /// The image that has this name.
    pub(super) fn named(&self, reference: &Reference) -> Option<ImageId> {
        self.references.get(&lookup(reference)).copied()
    }

    /// Adds an image; one that is there already stays as it is.
    pub(super) fn insert(&mut self, image: Indexed) {
        self.images.entry(image.record.id()).or_insert(image);
    }

    /// Puts an image in the place of the one with the same id, which has the same names.
    pub(super) fn replace(&mut self, mut image: Indexed) {
        if let Some(before) = self.images.get(&image.record.id()) {
            image.names.clone_from(&before.names);
            image.refresh();
            self.images.insert(image.record.id(), image);
        }
    }

    /// Takes an image and its names out, and with it its holds.
    pub(super) fn remove(&mut self, id: ImageId) {
        if let Some(image) = self.images.remove(&id) {
            for name in image.names.keys() {
                self.references.remove(name);
            }
        }
    }

    /// Gives the image `id` a name; returns the other image that had it.
    pub(super) fn tag(&mut self, name: &Reference, id: ImageId, at: Timestamp) -> Option<ImageId> {
        let before = self.references.get(name).copied().filter(|before| *before != id);
        if before.is_some() {
            self.untag(name);
        }
        if let Some(image) = self.images.get_mut(&id) {
            image.names.insert(name.clone(), at);
            image.refresh();
            self.references.insert(name.clone(), id);
        }
        before
    }

    /// Takes a name away.
    pub(super) fn untag(&mut self, name: &Reference) {
        let id = self.references.remove(name);
        if let Some(image) = id.and_then(|id| self.images.get_mut(&id)) {
            image.names.remove(name);
            image.refresh();
        }
    }

    /// The image that a person means by `name`.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] "No such image: ..."; [`crate::Kind::Invalid`] for what can't be
    /// a name.
    pub(super) fn resolve(&self, name: &str) -> Result<Arc<Image>> {
        let whole = name.strip_prefix("sha256:").unwrap_or(name);
        if let Some(digest) = Digest::from_hex(whole) {
            return self
                .image(ImageId(digest))
                .map(Indexed::shown)
                .ok_or_else(|| Error::not_found(format!("No such image: {digest}")));
        }
        let reference = Reference::parse(name)?.or_latest();
        self.named(&reference)
            .and_then(|id| self.image(id))
            .or_else(|| self.by_prefix(whole))
            .map(Indexed::shown)
            .ok_or_else(|| Error::not_found(format!("No such image: {}", reference.familiar())))
    }

    /// The only image whose id begins with `prefix`.
    fn by_prefix(&self, prefix: &str) -> Option<&Indexed> {
        let first = ImageId(Digest::from_hex(&format!("{prefix:0<64}"))?);
        let mut found = self
            .images
            .range(first..)
            .take_while(|(id, _)| id.digest().hex().starts_with(prefix))
            .map(|(_, image)| image);
        match (found.next(), found.next()) {
            (Some(image), None) => Some(image),
            _ => None,
        }
    }
}

/// With a tag and a digest, the digest counts.
fn lookup(reference: &Reference) -> Reference {
    match reference.digest() {
        Some(digest) => reference.clone().with_digest(digest),
        None => reference.clone(),
    }
}
