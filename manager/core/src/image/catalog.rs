//! The catalog: images in the store, on the disk and in memory, kept in step. Its calls block.

mod names;
mod new;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::blobs::Blobs;
use super::config::ImageConfig;
use super::digest::{ChainId, Digest, ImageId};
use super::image::{Blob, Image};
use super::index::{Index, Indexed};
use super::record::{IMAGES, ImageRecord, LISTS, ListRecord, REFERENCES, Target};
use super::reference::Reference;
use crate::config::Config;
use crate::disk::Disks;
use crate::error::{Error, Result};
use crate::events::{Event, EventType, Events};
use crate::snapshot::{Hold, Layers, Snapshots};
use crate::store::Store;

pub(super) use names::Leaving;
pub(super) use new::{New, NewImage, NewList};

/// Images and what they are made of.
pub(super) struct Catalog {
    store: Arc<Store>,
    events: Arc<Events>,
    pub(super) blobs: Blobs,
    pub(super) layers: Arc<Layers>,
    /// Where blobs and layers are.
    disks: Disks,
    index: RwLock<Index>,
    /// Held from the look at the index to the commit that changes it.
    changes: Mutex<()>,
    /// Held by whoever prunes.
    pub(super) pruning: Mutex<()>,
}

/// What a look at the start has found.
enum Looked<T> {
    Whole(T),
    /// It will never be whole again by itself.
    Damaged(Error),
}

/// What a disk that fails can't say now, it may say later: nothing must be taken for nobody's
/// meanwhile.
fn cannot_tell(key: &str, error: Error) -> Error {
    error.while_doing(format!(
        "cannot tell whether {key} is there whole, and so tared does not start (should the disk \
         never give that file back, delete it, and {key} is dropped)"
    ))
}

impl Catalog {
    /// Reads the records, drops images that are damaged, and sweeps what none needs.
    pub(super) fn open(
        config: &Config,
        store: Arc<Store>,
        events: Arc<Events>,
        snapshots: &Snapshots,
    ) -> Result<Self> {
        let blobs = Blobs::open(&config.data_root, config.cache_limit)?;
        let catalog = Self {
            layers: Arc::clone(snapshots.layers()),
            disks: Disks::of([config.data_root.as_path(), blobs.root(), snapshots.root()])?,
            blobs,
            store,
            events,
            index: RwLock::default(),
            changes: Mutex::default(),
            pruning: Mutex::default(),
        };
        catalog.read_records()?;
        catalog.blobs.sweep()?;
        snapshots.sweep()?;
        Ok(catalog)
    }

    fn read_records(&self) -> Result<()> {
        let mut index = self.write();
        for (key, record) in self.store.list(&IMAGES)? {
            match self.check(&record).map_err(|error| cannot_tell(&key, error))? {
                Looked::Whole(config) => index.insert(self.indexed(record, config)),
                Looked::Damaged(error) => {
                    tracing::warn!(image = key, %error, "dropping a damaged image");
                    self.store.write(|change| change.delete(&IMAGES, &key))?;
                }
            }
        }
        for (key, record) in self.store.list(&LISTS)? {
            match self.check_list(&index, record).map_err(|error| cannot_tell(&key, error))? {
                Looked::Whole(record) => {
                    let hold = self.hold_list(&record);
                    index.put_list(record, hold);
                }
                Looked::Damaged(error) => {
                    tracing::warn!(list = key, %error, "dropping a damaged list of images");
                    self.store.write(|change| change.delete(&LISTS, &key))?;
                }
            }
        }
        for (key, record) in self.store.list(&REFERENCES)? {
            // Of a list that is damaged, an image may still be there.
            let targets = [record.target(), Target::Image(record.image)];
            let there = |target: &Target| index.meant(*target).and_then(|id| index.image(id));
            match targets.into_iter().find(|target| there(target).is_some()) {
                Some(target) => drop(index.tag(&Reference::parse(&key)?, target, record.tagged_at)),
                None => self.store.write(|change| change.delete(&REFERENCES, &key))?,
            }
        }
        for list in index.nameless_lists() {
            tracing::warn!(%list, "dropping a list of images that has no name");
            self.store.write(|change| change.delete(&LISTS, &list.to_string()))?;
            index.remove_list(list);
        }
        Ok(())
    }

    /// The list, with those of its images that are there.
    fn check_list(&self, index: &Index, mut record: ListRecord) -> Result<Looked<ListRecord>> {
        if let Some(gone) = self.gone(record.blobs())? {
            return Ok(Looked::Damaged(gone));
        }
        record.variants.retain(|variant| index.image(variant.image).is_some());
        if record.variants.is_empty() {
            return Ok(Looked::Damaged(Error::not_found("none of its images is there")));
        }
        Ok(Looked::Whole(record))
    }

    /// Whether all that a record names is there; its configuration.
    fn check(&self, record: &ImageRecord) -> Result<Looked<Arc<ImageConfig>>> {
        if let Some(gone) = self.gone(record.blobs())? {
            return Ok(Looked::Damaged(gone));
        }
        let read = |content: Vec<u8>| {
            self.layers.stack(record.layers.last().map(|layer| layer.chain_id))?;
            ImageConfig::parse(&content)
        };
        let config = match self.blobs.as_it_is(record.config.digest)? {
            Some(content) => read(content),
            None => Err(Error::system("its configuration is not what its digest says")),
        };
        Ok(config.map_or_else(Looked::Damaged, |config| Looked::Whole(Arc::new(config))))
    }

    /// What there is to say if one of these blobs is not there whole.
    ///
    /// # Errors
    /// It can't be told.
    fn gone<'a>(&self, blobs: impl Iterator<Item = &'a Blob>) -> Result<Option<Error>> {
        for blob in blobs {
            if !self.blobs.is_there(blob.digest, blob.size)? {
                let gone = format!("the blob {} is missing", blob.digest);
                return Ok(Some(Error::not_found(gone)));
            }
        }
        Ok(None)
    }

    /// The first of these blobs that is not there whole: it was found damaged, or cut off.
    pub(super) fn missing<'a>(
        &self,
        mut blobs: impl Iterator<Item = &'a Blob>,
    ) -> Option<&'a Blob> {
        blobs.find(|blob| !self.blobs.has(blob.digest, blob.size))
    }

    /// Whether all of an image is there, so that it need not come again.
    pub(super) fn is_whole(&self, record: &ImageRecord) -> bool {
        let top = record.layers.last().map(|layer| layer.chain_id);
        self.missing(record.blobs()).is_none() && self.layers.stack(top).is_ok()
    }

    fn indexed(&self, record: ImageRecord, config: Arc<ImageConfig>) -> Indexed {
        let blobs = self.blobs.hold(record.blobs().map(|blob| blob.digest));
        let layers = self.layers.hold(record.layers.iter().map(|layer| layer.chain_id));
        Indexed::new(record, config, blobs, layers)
    }

    fn hold_list(&self, record: &ListRecord) -> Hold<Digest> {
        self.blobs.hold(record.blobs().map(|blob| blob.digest))
    }

    /// Records that an image consists of other blobs, which are in their place and held, if it is
    /// still what it was `before`; else somebody else has changed it, and that counts.
    pub(super) fn replace(&self, before: &ImageRecord, record: ImageRecord) -> Result<()> {
        self.disks.sync()?;
        let _one_at_a_time = self.lock_changes();
        let id = record.id();
        let config = {
            let index = self.read();
            let same = index.image(id).filter(|image| image.record == *before);
            same.map(|image| Arc::clone(&image.config))
        };
        let Some(config) = config else { return Ok(()) };
        self.store.write(|change| change.put(&IMAGES, &id.to_string(), &record))?;
        let image = self.indexed(record, config);
        self.write().replace(image);
        Ok(())
    }

    /// Deletes what nobody holds any more, and says which layers. A failure is left to the next
    /// sweep.
    pub(super) fn collect(&self) -> Vec<ChainId> {
        if let Err(error) = self.blobs.collect() {
            tracing::warn!(%error, "unused blobs stay");
        }
        self.layers.collect().unwrap_or_else(|error| {
            tracing::warn!(%error, "unused layers stay");
            Vec::new()
        })
    }

    /// Tells listeners what happened to an image.
    pub(super) fn tell(&self, action: &str, id: ImageId, name: &str) {
        match self.read().image(id).map(Indexed::shown) {
            Some(image) => self.tell_about(action, &image, name),
            None => {
                let event = Event::now(EventType::Image, action, id.to_string());
                self.events.publish(event.with("name", name));
            }
        }
    }

    /// Tells listeners what happened to an image that may be gone.
    pub(super) fn tell_about(&self, action: &str, image: &Image, name: &str) {
        let mut event = Event::now(EventType::Image, action, image.id.to_string());
        event.attributes.extend(image.config.defaults.labels.clone());
        self.events.publish(event.with("name", name));
    }

    /// Tells listeners what happened by way of the name of an image.
    pub(super) fn tell_of(&self, name: &Reference, action: &str) {
        let mut event = Event::now(EventType::Image, action, name.familiar());
        let index = self.read();
        if let Some(image) = index.named(name).and_then(|id| index.image(id)) {
            event.attributes.extend(image.config.defaults.labels.clone());
        }
        self.events.publish(event.with("name", name.familiar_name()));
    }

    /// Waits until nobody else changes images.
    pub(super) fn lock_changes(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of an image that is here, and a hold on its blobs.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if it is not here.
    pub(super) fn held(&self, id: ImageId) -> Result<(ImageRecord, Hold<Digest>)> {
        let index = self.read();
        let image = index.image(id);
        let image = image.ok_or_else(|| Error::not_found(format!("No such image: {id}")))?;
        // As long as the image is there, so is its own hold.
        let hold = self.blobs.hold(image.record.blobs().map(|blob| blob.digest));
        Ok((image.record.clone(), hold))
    }

    /// What readers see, for the moment of a look.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}
