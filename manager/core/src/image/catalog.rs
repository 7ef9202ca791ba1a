//! The catalog: images in the store, on the disk and in memory, kept in step. Its calls block.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;

use super::blobs::Blobs;
use super::config::ImageConfig;
use super::digest::{ChainId, ImageId};
use super::index::{Index, Indexed};
use super::record::{IMAGES, ImageRecord, REFERENCES, ReferenceRecord};
use super::reference::Reference;
use super::{Loaded, LoadedTag};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::events::{Event, EventType, Events};
use crate::snapshot::{Layers, NewLayer, Snapshots};
use crate::store::Store;

/// Images and what they are made of.
pub(super) struct Catalog {
    store: Arc<Store>,
    events: Arc<Events>,
    pub(super) blobs: Blobs,
    pub(super) layers: Arc<Layers>,
    index: RwLock<Index>,
    /// Held from the look at the index to the commit that changes it.
    changes: Mutex<()>,
}

/// An image to be recorded: all its blobs are in their place, all its layers unpacked.
pub(super) struct NewImage {
    pub(super) record: ImageRecord,
    pub(super) config: Arc<ImageConfig>,
    pub(super) names: Vec<Reference>,
}

impl Catalog {
    /// Reads the records, drops images that are damaged, and sweeps what none needs.
    pub(super) fn open(
        config: &Config,
        store: Arc<Store>,
        events: Arc<Events>,
        snapshots: &Snapshots,
    ) -> Result<Self> {
        let catalog = Self {
            blobs: Blobs::open(&config.data_root)?,
            layers: Arc::clone(snapshots.layers()),
            store,
            events,
            index: RwLock::default(),
            changes: Mutex::default(),
        };
        catalog.read_records()?;
        catalog.blobs.sweep()?;
        snapshots.sweep()?;
        Ok(catalog)
    }

    fn read_records(&self) -> Result<()> {
        let mut index = self.write();
        for (key, record) in self.store.list(&IMAGES)? {
            match self.check(&record) {
                Ok(config) => index.insert(self.indexed(record, Arc::new(config))),
                Err(error) => {
                    tracing::warn!(image = key, %error, "dropping a damaged image");
                    self.store.write(|change| change.delete(&IMAGES, &key))?;
                }
            }
        }
        for (key, record) in self.store.list(&REFERENCES)? {
            if index.image(record.image).is_some() {
                index.tag(&Reference::parse(&key)?, record.image, record.tagged_at);
            } else {
                self.store.write(|change| change.delete(&REFERENCES, &key))?;
            }
        }
        Ok(())
    }

    /// Whether all that a record names is there; its configuration.
    fn check(&self, record: &ImageRecord) -> Result<ImageConfig> {
        for blob in record.blobs() {
            if !self.blobs.has(blob.digest, blob.size) {
                return Err(Error::not_found(format!("the blob {} is missing", blob.digest)));
            }
        }
        self.layers.stack(record.layers.last().map(|layer| layer.chain_id))?;
        ImageConfig::parse(&self.blobs.content(record.config.digest)?)
    }

    fn indexed(&self, record: ImageRecord, config: Arc<ImageConfig>) -> Indexed {
        let blobs = self.blobs.hold(record.blobs().map(|blob| blob.digest));
        let layers = self.layers.hold(record.layers.iter().map(|layer| layer.chain_id));
        Indexed::new(record, config, blobs, layers)
    }

    /// Records new layers, images and their names in one durable transaction, and shows them.
    pub(super) fn commit(
        &self,
        images: Vec<NewImage>,
        layers: Vec<Arc<NewLayer>>,
    ) -> Result<Vec<Loaded>> {
        self.blobs.sync()?;
        let _one_at_a_time = self.lock_changes();
        let now = Timestamp::now();
        self.layers.commit(layers, |change| {
            for image in &images {
                let id = image.record.id();
                if self.read().image(id).is_none() {
                    change.put(&IMAGES, &id.to_string(), &image.record)?;
                }
                for name in &image.names {
                    let record = ReferenceRecord { image: id, tagged_at: now };
                    change.put(&REFERENCES, &name.to_string(), &record)?;
                }
            }
            Ok(())
        })?;
        let mut index = self.write();
        let loaded = images.into_iter().map(|image| self.show(&mut index, image, now));
        Ok(loaded.collect())
    }

    fn show(&self, index: &mut Index, image: NewImage, now: Timestamp) -> Loaded {
        let id = image.record.id();
        index.insert(self.indexed(image.record, image.config));
        let tags = image.names.iter().map(|name| {
            let taken_from = index.tag(name, id, now);
            LoadedTag { name: name.familiar(), taken_from }
        });
        let tags = tags.collect();
        Loaded { id, tags }
    }

    /// Records that an image, if it is there still, now consists of other blobs, which are in their
    /// place.
    pub(super) fn replace(&self, record: ImageRecord) -> Result<()> {
        self.blobs.sync()?;
        let _one_at_a_time = self.lock_changes();
        let id = record.id();
        let Some(config) = self.read().image(id).map(|image| Arc::clone(&image.config)) else {
            return Ok(());
        };
        self.store.write(|change| change.put(&IMAGES, &id.to_string(), &record))?;
        let image = self.indexed(record, config);
        self.write().replace(image);
        Ok(())
    }

    /// Gives an image that is there a name.
    pub(super) fn tag(&self, source: &str, name: Reference) -> Result<()> {
        let _one_at_a_time = self.lock_changes();
        let id = self.read().resolve(source)?.id;
        let now = Timestamp::now();
        let record = ReferenceRecord { image: id, tagged_at: now };
        self.store.write(|change| change.put(&REFERENCES, &name.to_string(), &record))?;
        self.write().tag(&name, id, now);
        self.tell("tag", id, &name.familiar());
        Ok(())
    }

    /// Gives an image names that a registry knows it by.
    pub(super) fn give_names(&self, id: ImageId, names: &[Reference]) -> Result<()> {
        let _one_at_a_time = self.lock_changes();
        if self.read().image(id).is_none() {
            return Err(Error::not_found(format!("No such image: {id}")));
        }
        let now = Timestamp::now();
        let known = |name: &Reference| self.read().named(name) == Some(id);
        let new: Vec<&Reference> = names.iter().filter(|name| !known(name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.store.write(|change| {
            let record = ReferenceRecord { image: id, tagged_at: now };
            new.iter().try_for_each(|name| change.put(&REFERENCES, &name.to_string(), &record))
        })?;
        let mut index = self.write();
        for name in new {
            index.tag(name, id, now);
        }
        Ok(())
    }

    /// Takes names away from an image, and the image too if `and_image` says so. The caller holds
    /// [`Self::lock_changes`].
    pub(super) fn forget(&self, id: ImageId, names: &[Reference], and_image: bool) -> Result<()> {
        self.store.write(|change| {
            for name in names {
                change.delete(&REFERENCES, &name.to_string())?;
            }
            if and_image { change.delete(&IMAGES, &id.to_string()) } else { Ok(()) }
        })?;
        let mut index = self.write();
        for name in names {
            index.untag(name);
        }
        if and_image {
            index.remove(id);
        }
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
        let mut event = Event::now(EventType::Image, action, id.to_string());
        if let Some(image) = self.read().image(id) {
            event.attributes.extend(image.config.defaults.labels.clone());
        }
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

    /// What readers see, for the moment of a look.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}
