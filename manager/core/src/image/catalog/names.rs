//! Names are given and taken, and what has lost its last goes.

use jiff::Timestamp;

use super::Catalog;
use super::new::name_all;
use crate::error::{Error, Result};
use crate::image::digest::{Digest, ImageId};
use crate::image::record::{IMAGES, LISTS, ListRecord, REFERENCES, ReferenceRecord, Target};
use crate::image::reference::Reference;

/// What is to be taken away at once.
#[derive(Debug, Default)]
pub(in crate::image) struct Leaving {
    pub(in crate::image) names: Vec<Reference>,
    pub(in crate::image) images: Vec<ImageId>,
}

impl Catalog {
    /// Gives what the name `source` stands for another name.
    pub(in crate::image) fn tag(&self, source: &str, name: Reference) -> Result<()> {
        let _one_at_a_time = self.lock_changes();
        let (target, image) = self.read().resolve_target(source)?;
        self.rename(std::slice::from_ref(&name), target, image.id)?;
        self.tell("tag", image.id, &name.familiar());
        Ok(())
    }

    /// Gives what is there the names that a registry knows it by.
    pub(in crate::image) fn give_names(&self, target: Target, names: &[Reference]) -> Result<()> {
        let _one_at_a_time = self.lock_changes();
        let meant = {
            let index = self.read();
            let meant = index.meant(target).filter(|id| index.image(*id).is_some());
            meant.ok_or_else(|| Error::not_found(format!("No such image: {target}")))?
        };
        let known = |name: &&Reference| self.read().target(name) == Some(target);
        let new: Vec<Reference> = names.iter().filter(|name| !known(name)).cloned().collect();
        if new.is_empty() { Ok(()) } else { self.rename(&new, target, meant) }
    }

    /// Has names stand for `target`, by which `image` is meant. The caller holds
    /// [`Self::lock_changes`].
    fn rename(&self, names: &[Reference], target: Target, image: ImageId) -> Result<()> {
        let now = Timestamp::now();
        let given = names.iter().map(|name| (name.clone(), Some(target))).collect();
        let left = self.read().lists_left(&given);
        let list = match target {
            Target::Image(_) => None,
            Target::List(digest) => Some(digest),
        };
        self.store.write(|change| {
            name_all(change, names, &ReferenceRecord { image, list, tagged_at: now })?;
            left.iter().try_for_each(|list| change.delete(&LISTS, &list.to_string()))
        })?;
        let mut index = self.write();
        for name in names {
            index.tag(name, target, now);
        }
        left.into_iter().for_each(|list| index.remove_list(list));
        Ok(())
    }

    /// Takes names and images away; the lists go with their last name or image. The caller holds
    /// [`Self::lock_changes`].
    pub(in crate::image) fn forget(&self, leaving: &Leaving) -> Result<()> {
        let (gone, changed) = self.lists_after(leaving);
        self.store.write(|change| {
            for name in &leaving.names {
                change.delete(&REFERENCES, &name.to_string())?;
            }
            for list in &gone {
                change.delete(&LISTS, &list.to_string())?;
            }
            for list in &changed {
                change.put(&LISTS, &list.list.digest.to_string(), list)?;
            }
            leaving.images.iter().try_for_each(|id| change.delete(&IMAGES, &id.to_string()))
        })?;
        let mut index = self.write();
        for name in &leaving.names {
            index.untag(name);
        }
        gone.into_iter().for_each(|list| index.remove_list(list));
        for list in changed {
            let hold = self.hold_list(&list);
            index.put_list(list, hold);
        }
        leaving.images.iter().for_each(|id| index.remove(*id));
        Ok(())
    }

    /// Which lists go, and what others are, when names and images go.
    fn lists_after(&self, leaving: &Leaving) -> (Vec<Digest>, Vec<ListRecord>) {
        let (gone, mut changed) = self.lists_without(leaving);
        for list in &mut changed {
            self.leave_out_strangers(list);
        }
        (gone, changed)
    }

    fn lists_without(&self, leaving: &Leaving) -> (Vec<Digest>, Vec<ListRecord>) {
        let index = self.read();
        let mut gone =
            index.lists_left(&leaving.names.iter().map(|name| (name.clone(), None)).collect());
        let mut changed: Vec<ListRecord> = Vec::new();
        for list in leaving.images.iter().flat_map(|id| index.lists_with(*id)) {
            let digest = list.list.digest;
            if gone.contains(&digest) || changed.iter().any(|other| other.list.digest == digest) {
                continue;
            }
            let mut list = list.clone();
            list.variants.retain(|variant| !leaving.images.contains(&variant.image));
            if list.variants.is_empty() { gone.push(digest) } else { changed.push(list) }
        }
        (gone, changed)
    }
}
