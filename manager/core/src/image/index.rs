//! What readers see: every image and every name, in memory.

mod names;

pub(super) use names::Given;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::config::ImageConfig;
use super::digest::{ChainId, Digest, ImageId};
use super::image::Image;
use super::platform::Platform;
use super::record::{ImageRecord, ListRecord, Target};
use super::reference::Reference;
use crate::error::{Error, Result};
use crate::snapshot::Hold;

/// All images, lists of images, and names.
#[derive(Default)]
pub(super) struct Index {
    images: BTreeMap<ImageId, Indexed>,
    lists: BTreeMap<Digest, Listed>,
    names: BTreeMap<Reference, Named>,
    /// How many images have a layer, and it from that blob.
    layers: HashMap<(ChainId, Digest), usize>,
}

/// A name.
#[derive(Debug, Clone, Copy)]
struct Named {
    target: Target,
    /// Since when it stands for that.
    at: Timestamp,
}

/// A list of images with all that it needs.
struct Listed {
    record: ListRecord,
    /// The names that stand for it.
    names: BTreeSet<Reference>,
    /// Keeps its blobs.
    _blobs: Hold<Digest>,
}

/// An image with all that it needs.
pub(super) struct Indexed {
    pub(super) record: ImageRecord,
    pub(super) config: Arc<ImageConfig>,
    /// Its names, and since when it has them.
    names: BTreeMap<Reference, Timestamp>,
    /// Names of lists that it is in, of which another image is meant first.
    variant_of: BTreeSet<Reference>,
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
        let shown = Image {
            id: record.id(),
            references: Vec::new(),
            variant_of: Vec::new(),
            variants: Vec::new(),
            lists: Vec::new(),
            config: Arc::clone(&config),
            layers: record.layers.clone(),
            size: record.layers.iter().map(|layer| layer.size).sum(),
            tagged_at: None,
            target: record.manifest.clone(),
            manifest: record.manifest.as_ref().map(|manifest| manifest.digest),
            parent: record.parent,
        };
        Self {
            record,
            config,
            names: BTreeMap::new(),
            variant_of: BTreeSet::new(),
            shown: Arc::new(shown),
            _blobs: blobs,
            _layers: layers,
        }
    }

    /// What readers get.
    pub(super) fn shown(&self) -> Arc<Image> {
        Arc::clone(&self.shown)
    }
}

impl Index {
    /// Every image.
    pub(super) fn list(&self) -> Vec<Arc<Image>> {
        self.images.values().map(Indexed::shown).collect()
    }

    /// The image with this id.
    pub(super) fn image(&self, id: ImageId) -> Option<&Indexed> {
        self.images.get(&id)
    }

    /// The list with this digest.
    pub(super) fn manifest_list(&self, digest: Digest) -> Option<&ListRecord> {
        self.lists.get(&digest).map(|list| &list.record)
    }

    /// The blobs that an image needs, with those of the lists that it is in, and its layers.
    pub(super) fn needs(&self, id: ImageId) -> (Vec<Digest>, Vec<ChainId>) {
        let Some(image) = self.images.get(&id) else { return (Vec::new(), Vec::new()) };
        let own = image.record.blobs();
        let listed = self.lists_with(id).into_iter().flat_map(ListRecord::blobs);
        let blobs = own.chain(listed).map(|blob| blob.digest).collect();
        (blobs, image.record.layers.iter().map(|layer| layer.chain_id).collect())
    }

    /// What an image was made of here, the nearest first.
    pub(super) fn ancestors(&self, id: ImageId) -> impl Iterator<Item = ImageId> + '_ {
        let parent = |id: &ImageId| self.image(*id)?.record.parent;
        std::iter::successors(parent(&id), parent)
    }

    /// The images that were made of this one.
    pub(super) fn children(&self, id: ImageId) -> impl Iterator<Item = ImageId> + '_ {
        let images = self.images.values();
        images.filter(move |image| image.record.parent == Some(id)).map(|image| image.record.id())
    }

    /// Adds an image; one that is there already stays as it is.
    pub(super) fn insert(&mut self, image: Indexed) {
        let id = image.record.id();
        if !self.images.contains_key(&id) {
            self.count_layers(&image.record);
            self.images.insert(id, image);
        }
    }

    /// Puts an image in the place of the one with the same id, which has the same names.
    pub(super) fn replace(&mut self, mut image: Indexed) {
        let id = image.record.id();
        if let Some(mut before) = self.images.remove(&id) {
            self.discount_layers(&before.record);
            self.count_layers(&image.record);
            image.names = std::mem::take(&mut before.names);
            image.variant_of = std::mem::take(&mut before.variant_of);
            self.images.insert(id, image);
            self.refresh(id);
        }
    }

    /// Takes an image and its names out, and with it its holds. No list may have it any more.
    pub(super) fn remove(&mut self, id: ImageId) {
        if let Some(image) = self.images.remove(&id) {
            self.discount_layers(&image.record);
            for name in image.names.keys() {
                self.names.remove(name);
            }
        }
    }

    /// Whether an image has this layer, and that from this blob: then the blob is known to be it.
    pub(super) fn has_layer(&self, chain: ChainId, blob: Digest) -> bool {
        self.layers.contains_key(&(chain, blob))
    }

    fn count_layers(&mut self, record: &ImageRecord) {
        for layer in &record.layers {
            *self.layers.entry((layer.chain_id, layer.blob.digest)).or_default() += 1;
        }
    }

    fn discount_layers(&mut self, record: &ImageRecord) {
        for layer in &record.layers {
            let key = (layer.chain_id, layer.blob.digest);
            if let Some(count) = self.layers.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.layers.remove(&key);
                }
            }
        }
    }

    /// The image that a person means by `name`.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] "No such image: ..."; [`crate::Kind::Invalid`] for what can't be
    /// a name.
    pub(super) fn resolve(&self, name: &str) -> Result<Arc<Image>> {
        self.resolve_target(name).map(|(_, image)| image)
    }

    /// What a person means by `name`, and the image that stands for it here.
    pub(super) fn resolve_target(&self, name: &str) -> Result<(Target, Arc<Image>)> {
        let by_id = |image: &Indexed| (Target::Image(image.record.id()), image.shown());
        let whole = name.strip_prefix("sha256:").unwrap_or(name);
        if let Some(digest) = Digest::from_hex(whole) {
            return self
                .image(ImageId(digest))
                .map(by_id)
                .ok_or_else(|| Error::not_found(format!("No such image: {digest}")));
        }
        let reference = Reference::parse(name)?.or_latest();
        let by_name = || {
            let target = self.target(&reference)?;
            Some((target, self.image(self.meant(target)?)?.shown()))
        };
        by_name()
            .or_else(|| self.by_prefix(whole).map(by_id))
            .ok_or_else(|| Error::not_found(format!("No such image: {}", reference.familiar())))
    }

    /// The image that a person means by `name` on `platform`.
    ///
    /// # Errors
    /// Also [`crate::Kind::NotFound`] if there is none for the platform.
    pub(super) fn resolve_for(&self, name: &str, platform: &Platform) -> Result<Arc<Image>> {
        let (target, image) = self.resolve_target(name)?;
        let found = match target {
            Target::Image(_) => platform.rank_of(&image.platform()).map(|_| image.id),
            Target::List(list) => self
                .manifest_list(list)
                .and_then(|list| list.best(Some(platform)))
                .map(|variant| variant.image),
        };
        let shown = found.and_then(|id| self.image(id)).map(Indexed::shown);
        shown.ok_or_else(|| {
            Error::not_found(match target {
                Target::Image(_) => format!(
                    "image with reference {name} was found but its platform ({}) does not match \
                     the specified platform ({platform})",
                    image.platform()
                ),
                Target::List(_) => format!(
                    "image with reference {name} was found but does not provide the specified \
                     platform ({platform})"
                ),
            })
        })
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
