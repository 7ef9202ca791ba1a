//! Names: what each stands for, and which image is meant by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Index, Listed, Named};
use crate::image::digest::{Digest, ImageId};
use crate::image::image::Image;
use crate::image::record::{ListRecord, Target};
use crate::image::reference::Reference;
use crate::snapshot::Hold;

/// Names, and what each is to stand for; none: nothing any more.
pub(in crate::image) type Given = BTreeMap<Reference, Option<Target>>;

impl Index {
    /// Every name of one repository with the image that is meant by it.
    pub(in crate::image) fn of_repository(&self, name: &Reference) -> Vec<(Reference, ImageId)> {
        let same = self.names.iter().filter(|(other, _)| other.same_repository(name));
        same.filter_map(|(name, named)| Some((name.clone(), self.meant(named.target)?))).collect()
    }

    /// The image that has this name.
    pub(in crate::image) fn named(&self, reference: &Reference) -> Option<ImageId> {
        self.meant(self.target(reference)?)
    }

    /// What a name stands for. With a tag and a digest, the digest counts.
    pub(in crate::image) fn target(&self, reference: &Reference) -> Option<Target> {
        let named = match reference.digest() {
            Some(digest) => self.names.get(&reference.clone().with_digest(digest)),
            None => self.names.get(reference),
        };
        named.map(|named| named.target)
    }

    /// The names that stand for the list.
    pub(in crate::image) fn names_of_list(&self, list: Digest) -> Vec<Reference> {
        self.lists.get(&list).map(|list| list.names.iter().cloned().collect()).unwrap_or_default()
    }

    /// The lists that lose their last name when `given` is so.
    pub(in crate::image) fn lists_left(&self, given: &Given) -> Vec<Digest> {
        let lists = given.keys().filter_map(|name| match self.names.get(name)?.target {
            Target::List(digest) => Some(digest),
            Target::Image(_) => None,
        });
        let lists: BTreeSet<Digest> = lists.collect();
        lists.into_iter().filter(|list| !self.is_named(*list, given)).collect()
    }

    /// Whether a name stands for the list when `given` is so.
    pub(in crate::image) fn is_named(&self, list: Digest, given: &Given) -> bool {
        let mut before = self.lists.get(&list).into_iter().flat_map(|list| &list.names);
        given.values().any(|target| *target == Some(Target::List(list)))
            || before.any(|name| !given.contains_key(name))
    }

    /// The lists without a name.
    pub(in crate::image) fn nameless_lists(&self) -> Vec<Digest> {
        let nameless = self.lists.iter().filter(|(_, list)| list.names.is_empty());
        nameless.map(|(digest, _)| *digest).collect()
    }

    /// The lists that have the image.
    pub(in crate::image) fn lists_with(&self, image: ImageId) -> Vec<&ListRecord> {
        let lists = self.images.get(&image).map(|image| image.shown.lists.as_slice());
        let lists = lists.unwrap_or_default().iter();
        lists.filter_map(|list| self.lists.get(list).map(|list| &list.record)).collect()
    }

    /// The image of `target` that is meant first.
    pub(in crate::image) fn meant(&self, target: Target) -> Option<ImageId> {
        match target {
            Target::Image(id) => Some(id),
            Target::List(digest) => {
                self.lists.get(&digest)?.record.best(None).map(|variant| variant.image)
            }
        }
    }

    /// Gives what `target` says a name; returns the other image that had it.
    pub(in crate::image) fn tag(
        &mut self,
        name: &Reference,
        target: Target,
        at: Timestamp,
    ) -> Option<ImageId> {
        let before = self.named(name);
        self.untag(name);
        if let Target::List(digest) = target
            && let Some(list) = self.lists.get_mut(&digest)
        {
            list.names.insert(name.clone());
        }
        self.names.insert(name.clone(), Named { target, at });
        self.attach(name, Named { target, at });
        before.filter(|before| Some(*before) != self.meant(target))
    }

    /// Takes a name away.
    pub(in crate::image) fn untag(&mut self, name: &Reference) {
        let Some(named) = self.names.remove(name) else { return };
        self.detach(name, named.target);
        if let Target::List(digest) = named.target
            && let Some(list) = self.lists.get_mut(&digest)
        {
            list.names.remove(name);
        }
    }

    /// Adds a list, or puts it in the place of what was known of it. All its images are there.
    pub(in crate::image) fn put_list(&mut self, record: ListRecord, blobs: Hold<Digest>) {
        let digest = record.list.digest;
        let names = self.lists.get(&digest).map(|list| list.names.clone()).unwrap_or_default();
        for name in &names {
            self.detach(name, Target::List(digest));
        }
        let list = Listed { record, names: names.clone(), _blobs: blobs };
        self.lists.insert(digest, list);
        for name in &names {
            if let Some(named) = self.names.get(name).copied() {
                self.attach(name, named);
            }
        }
    }

    /// Takes a list and its names out, and with it its holds; its images stay.
    pub(in crate::image) fn remove_list(&mut self, digest: Digest) {
        for name in self.names_of_list(digest) {
            self.untag(&name);
        }
        self.lists.remove(&digest);
    }

    /// Makes what readers get of an image follow its names.
    pub(super) fn refresh(&mut self, id: ImageId) {
        let Some(image) = self.images.get(&id) else { return };
        let names = image.names.keys().chain(&image.variant_of);
        let lists: BTreeSet<Digest> = names
            .filter_map(|name| match self.names.get(name)?.target {
                Target::List(digest) => Some(digest),
                Target::Image(_) => None,
            })
            .collect();
        let variants: BTreeSet<ImageId> = image
            .names
            .keys()
            .filter_map(|name| Some(self.members(self.names.get(name)?.target)))
            .flatten()
            .filter(|other| *other != id)
            .collect();
        let list = lists.first().and_then(|list| self.lists.get(list));
        let target = list.map(|list| &list.record.list).or(image.record.manifest.as_ref());
        let shown = Image {
            target: target.cloned(),
            references: image.names.keys().cloned().collect(),
            variant_of: image.variant_of.iter().cloned().collect(),
            variants: variants.into_iter().collect(),
            lists: lists.into_iter().collect(),
            layers: image.record.layers.clone(),
            manifest: image.record.manifest.as_ref().map(|manifest| manifest.digest),
            tagged_at: image.names.values().max().copied(),
            ..Image::clone(&image.shown)
        };
        if let Some(image) = self.images.get_mut(&id) {
            image.shown = Arc::new(shown);
        }
    }

    /// The images of `target` that are here.
    pub(in crate::image) fn members(&self, target: Target) -> BTreeSet<ImageId> {
        match target {
            Target::Image(id) => BTreeSet::from([id]),
            Target::List(digest) => {
                let list = self.lists.get(&digest).map(|list| &list.record.variants);
                list.into_iter().flatten().map(|variant| variant.image).collect()
            }
        }
    }

    /// Tells the images of a name that they have it.
    fn attach(&mut self, name: &Reference, named: Named) {
        let meant = self.meant(named.target);
        let members = self.members(named.target);
        for id in &members {
            if let Some(image) = self.images.get_mut(id) {
                if Some(*id) == meant {
                    image.names.insert(name.clone(), named.at);
                } else {
                    image.variant_of.insert(name.clone());
                }
            }
        }
        members.into_iter().for_each(|id| self.refresh(id));
    }

    /// Tells the images of a name that they have it no more.
    fn detach(&mut self, name: &Reference, target: Target) {
        let members = self.members(target);
        for id in &members {
            if let Some(image) = self.images.get_mut(id) {
                image.names.remove(name);
                image.variant_of.remove(name);
            }
        }
        members.into_iter().for_each(|id| self.refresh(id));
    }
}
