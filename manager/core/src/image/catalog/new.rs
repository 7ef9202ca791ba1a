//! What is new is recorded all at once, or not at all.

use std::sync::Arc;

use jiff::Timestamp;

use super::Catalog;
use crate::error::{Error, Result};
use crate::image::config::ImageConfig;
use crate::image::digest::ImageId;
use crate::image::index::{Given, Index};
use crate::image::record::{
    IMAGES, ImageRecord, LISTS, ListRecord, REFERENCES, ReferenceRecord, Target, Variant,
};
use crate::image::reference::Reference;
use crate::image::{Loaded, LoadedTag};
use crate::snapshot::NewLayer;
use crate::store::Transaction;

/// What is to be recorded at once.
#[derive(Default)]
pub(in crate::image) struct New {
    pub(in crate::image) images: Vec<NewImage>,
    pub(in crate::image) lists: Vec<NewList>,
    pub(in crate::image) layers: Vec<Arc<NewLayer>>,
}

/// An image to be recorded: all its blobs are in their place, all its layers unpacked.
pub(in crate::image) struct NewImage {
    pub(in crate::image) record: ImageRecord,
    pub(in crate::image) config: Arc<ImageConfig>,
    pub(in crate::image) names: Vec<Reference>,
}

/// A list to be recorded: its blobs are in their place, and its images are here or come with it.
/// What was known of the list before stays.
pub(in crate::image) struct NewList {
    pub(in crate::image) record: ListRecord,
    pub(in crate::image) names: Vec<Reference>,
}

impl Catalog {
    /// Records new layers, images, lists and their names in one durable transaction, and shows them.
    pub(in crate::image) fn commit(&self, new: New) -> Result<Vec<Loaded>> {
        let New { images, lists, layers } = new;
        self.disks.sync()?;
        let _one_at_a_time = self.lock_changes();
        let now = Timestamp::now();
        let mut lists: Vec<NewList> = lists.into_iter().map(|list| self.merged(list)).collect();
        self.check_new(&images, &lists)?;
        let given = given(&images, &lists);
        let left = self.read().lists_left(&given);
        // A list whose names all went on to another would be nobody's.
        lists.retain(|list| self.read().is_named(list.record.list.digest, &given));
        let damaged = self.damaged(&images);
        self.layers.commit(layers, |change| {
            for image in &images {
                let id = image.record.id();
                if self.read().image(id).is_none() || damaged.contains(&id) {
                    change.put(&IMAGES, &id.to_string(), &image.record)?;
                }
                let record = ReferenceRecord { image: id, list: None, tagged_at: now };
                name_all(change, &image.names, &record)?;
            }
            for list in &lists {
                change.put(&LISTS, &list.record.list.digest.to_string(), &list.record)?;
                if let Some(Variant { image, .. }) = list.record.best(None) {
                    let digest = Some(list.record.list.digest);
                    let record = ReferenceRecord { image: *image, list: digest, tagged_at: now };
                    name_all(change, &list.names, &record)?;
                }
            }
            left.iter().try_for_each(|list| change.delete(&LISTS, &list.to_string()))
        })?;
        let mut index = self.write();
        let mut loaded = Vec::new();
        for image in images {
            let (id, target) = (image.record.id(), image.target());
            let indexed = self.indexed(image.record, image.config);
            if damaged.contains(&id) {
                index.replace(indexed);
            } else {
                index.insert(indexed);
            }
            loaded.push(Loaded { id, tags: give(&mut index, &image.names, target, now) });
        }
        for list in lists {
            let target = list.target();
            let hold = self.hold_list(&list.record);
            index.put_list(list.record, hold);
            let tags = give(&mut index, &list.names, target, now);
            let meant = index.meant(target);
            if let Some(image) = loaded.iter_mut().find(|image| Some(image.id) == meant) {
                image.tags.extend(tags);
            }
        }
        left.into_iter().for_each(|list| index.remove_list(list));
        Ok(loaded)
    }

    /// Those of the images that are here, but not whole any more. What is whole stays as it is.
    fn damaged(&self, images: &[NewImage]) -> Vec<ImageId> {
        let known: Vec<ImageRecord> = {
            let index = self.read();
            let known = images.iter().filter_map(|image| index.image(image.record.id()));
            known.map(|known| known.record.clone()).collect()
        };
        // The disk is looked at while nobody waits for it.
        known.iter().filter(|known| !self.is_whole(known)).map(ImageRecord::id).collect()
    }

    /// Makes sure that the images of new lists are there, or come with them.
    fn check_new(&self, images: &[NewImage], lists: &[NewList]) -> Result<()> {
        let index = self.read();
        for variant in lists.iter().flat_map(|list| &list.record.variants) {
            let comes = images.iter().any(|image| image.record.id() == variant.image);
            if !comes && index.image(variant.image).is_none() {
                return Err(Error::not_found(format!("No such image: {}", variant.image)));
            }
        }
        Ok(())
    }

    /// The list with what was known of it before.
    fn merged(&self, list: NewList) -> NewList {
        let index = self.read();
        let Some(known) = index.manifest_list(list.record.list.digest) else { return list };
        let mut record = known.clone();
        record.merge(list.record);
        NewList { record, names: list.names }
    }
}

impl NewImage {
    fn target(&self) -> Target {
        Target::Image(self.record.id())
    }
}

impl NewList {
    fn target(&self) -> Target {
        Target::List(self.record.list.digest)
    }
}

/// What every name that is given stands for in the end.
fn given(images: &[NewImage], lists: &[NewList]) -> Given {
    let of_images = images.iter().map(|image| (&image.names, image.target()));
    let all = of_images.chain(lists.iter().map(|list| (&list.names, list.target())));
    all.flat_map(|(names, target)| names.iter().map(move |name| (name.clone(), Some(target))))
        .collect()
}

pub(super) fn name_all(
    change: &Transaction,
    names: &[Reference],
    record: &ReferenceRecord,
) -> Result<()> {
    names.iter().try_for_each(|name| change.put(&REFERENCES, &name.to_string(), record))
}

/// Gives names, and says what they were before.
fn give(index: &mut Index, names: &[Reference], target: Target, at: Timestamp) -> Vec<LoadedTag> {
    let given = names.iter().map(|name| {
        let taken_from = index.tag(name, target, at);
        LoadedTag { name: name.familiar(), taken_from }
    });
    given.collect()
}
