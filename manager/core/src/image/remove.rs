//! `remove`: names go one by one, what has lost its last name goes with it.
//!
//! With an id, the image and all its names go; with a reference, that name. A name of several
//! images is that of them all, so that the images for other platforms go along with the one that is
//! meant by it, unless they have a name of their own. What an image was made of by commits goes along
//! if it has no name either, and stays, without a name, while there is an image that was made of it.

mod platforms;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalog::{Catalog, Leaving};
use super::digest::ImageId;
use super::image::Image;
use super::index::{Index, Indexed};
use super::record::Target;
use super::reference::Reference;
use super::{ImageUser, ImageUsers, RemoveImage, Removed};
use crate::error::{Error, Result};

/// The containers of each image.
pub(super) type Users = BTreeMap<ImageId, Vec<ImageUser>>;

/// Why an image can't be deleted.
struct Conflict {
    /// Even `force` doesn't help.
    hard: bool,
    message: String,
}

impl Catalog {
    /// Takes away what `name` names. Who uses it is asked while nobody else changes images.
    pub(super) fn remove(
        &self,
        name: &str,
        options: &RemoveImage,
        users: &dyn ImageUsers,
    ) -> Result<Vec<Removed>> {
        let farewell = {
            let _one_at_a_time = self.lock_changes();
            let (farewell, leaving) = {
                let index = self.read();
                let image = index.resolve(name)?;
                let users = &users_of(&index, &image, users);
                let plan = Plan { index: &index, image: &image, name, options, users };
                let leaving = plan.make()?;
                (Farewell::of(&index, image, &leaving), leaving)
            };
            self.forget(&leaving)?;
            farewell
        };
        Ok(self.bid(farewell))
    }

    /// Collects what went, and tells of it all.
    pub(super) fn bid(&self, farewell: Farewell) -> Vec<Removed> {
        let Farewell { image, names, images } = farewell;
        let mut removed = Vec::new();
        for name in &names {
            self.tell_about("untag", &image, &image.id.to_string());
            removed.push(Removed::Untagged(name.familiar()));
        }
        for image in &images {
            self.tell("delete", image.id, &image.id.to_string());
        }
        let mut layers = if images.is_empty() { Vec::new() } else { self.collect() };
        // After each image those of its layers that nobody else has, the uppermost first.
        for image in &images {
            removed.push(Removed::Deleted(image.id.to_string()));
            for layer in image.layers.iter().rev() {
                if let Some(place) = layers.iter().position(|gone| *gone == layer.chain_id) {
                    removed.push(Removed::Deleted(layers.remove(place).to_string()));
                }
            }
        }
        removed.extend(layers.iter().map(|layer| Removed::Deleted(layer.to_string())));
        removed
    }
}

/// What leaves, as it was before.
pub(super) struct Farewell {
    /// The image that loses its names.
    image: Arc<Image>,
    names: Vec<Reference>,
    images: Vec<Arc<Image>>,
}

impl Farewell {
    pub(super) fn of(index: &Index, image: Arc<Image>, leaving: &Leaving) -> Self {
        let images = leaving.images.iter().filter_map(|id| index.image(*id).map(Indexed::shown));
        Self { image, names: leaving.names.clone(), images: images.collect() }
    }
}

/// The containers of `image`, of what comes and goes with it, and of those it was made of.
pub(super) fn users_of(index: &Index, image: &Image, users: &dyn ImageUsers) -> Users {
    let own = std::iter::once(image.id).chain(image.variants.iter().copied());
    let all = own.flat_map(|id| std::iter::once(id).chain(index.ancestors(id)));
    all.map(|id| (id, users.containers_using(&id))).collect()
}

/// What there is to know to say what goes.
pub(super) struct Plan<'a> {
    pub(super) index: &'a Index,
    /// The image that is meant.
    pub(super) image: &'a Image,
    /// How it was named.
    pub(super) name: &'a str,
    pub(super) options: &'a RemoveImage,
    pub(super) users: &'a Users,
}

impl Plan<'_> {
    fn make(&self) -> Result<Leaving> {
        let platforms = self.options.platforms.as_slice();
        let mut leaving = if platforms.is_empty() {
            self.whole()?
        } else if self.is_of_list() {
            self.by_platform()?
        } else {
            self.check_is_for(platforms)?;
            self.whole()?
        };
        if !self.options.keep_parents {
            self.add_parents(&mut leaving.images);
        }
        Ok(leaving)
    }

    /// What goes with the image, whatever it is for.
    fn whole(&self) -> Result<Leaving> {
        if is_id_prefix(self.image.id, self.name) { self.by_id() } else { self.by_name() }
    }

    /// The image goes with all its names, unless somebody uses it. Where another image was made of it,
    /// it loses its names alone.
    pub(super) fn if_unused(&self) -> Leaving {
        let names = self.image.references.clone();
        let mut images = self.left_by(&names);
        images.insert(self.image.id);
        if images.iter().any(|id| self.is_used(*id)) {
            return Leaving::default();
        }
        if self.has_other_children(&images) {
            images.clear();
        }
        let mut leaving = Leaving { names, images: images.into_iter().collect() };
        self.add_parents(&mut leaving.images);
        leaving
    }

    /// Adds what nobody needs any more of what these images were made of here: images that have no
    /// name, no containers and no other image that was made of them.
    fn add_parents(&self, leaving: &mut Vec<ImageId>) {
        for id in leaving.clone() {
            for parent in self.index.ancestors(id) {
                let nameless = self
                    .index
                    .image(parent)
                    .is_some_and(|parent| parent.shown().all_names().next().is_none());
                let has_others = self.index.children(parent).any(|child| !leaving.contains(&child));
                if !nameless || has_others || self.is_used(parent) || leaving.contains(&parent) {
                    break;
                }
                leaving.push(parent);
            }
        }
    }

    fn by_name(&self) -> Result<Leaving> {
        let reference = Reference::parse(self.name)?.or_latest();
        // With a tag and a digest, the digest counts.
        let reference = match reference.digest() {
            Some(digest) => reference.with_digest(digest),
            None => reference,
        };
        let all = self.names_beside(&reference);
        if !self.options.force
            && is_single(&all)
            && let Some((image, user)) = self.first_user()
        {
            return Err(Error::conflict(format!(
                "conflict: unable to remove repository reference {:?} (must force) - container {} \
                 is using its referenced image {}",
                self.name,
                short(&user.id),
                image.short(),
            )));
        }
        let names = with_its_digests(&all, reference);
        // The name was what was asked for; an image that is still needed stays without a word, so
        // that another one can be made of its containers, and others keep what they were made of.
        let mut images = self.left_by(&names);
        images.retain(|id| !self.is_used(*id));
        if self.has_other_children(&images) {
            images.clear();
        }
        Ok(Leaving { images: images.into_iter().collect(), names })
    }

    fn by_id(&self) -> Result<Leaving> {
        // One name goes with its image without force, several don't.
        let names = &self.image.references;
        let several = !names.is_empty() && !is_single(names);
        let mut images = self.left_by(names);
        images.insert(self.image.id);
        if let Some(conflict) = self.conflict(several, &images) {
            let force = if conflict.hard { "cannot be forced" } else { "must be forced" };
            return Err(Error::conflict(format!(
                "conflict: unable to delete {} ({force}) - {}",
                self.image.id.short(),
                conflict.message
            )));
        }
        Ok(Leaving { names: names.clone(), images: images.into_iter().collect() })
    }

    /// All names of what the name stands for.
    fn names_beside(&self, name: &Reference) -> Vec<Reference> {
        match self.index.target(name) {
            Some(Target::List(list)) => self.index.names_of_list(list),
            Some(Target::Image(_)) | None => self.image.references.clone(),
        }
    }

    /// The images that have no name any more when these are gone.
    fn left_by(&self, names: &[Reference]) -> BTreeSet<ImageId> {
        let all = std::iter::once(&self.image.id).chain(&self.image.variants);
        let left = all.filter(|id| {
            let Some(image) = self.index.image(**id).map(Indexed::shown) else {
                return false;
            };
            let mut all = image.references.iter().chain(&image.variant_of);
            all.all(|name| names.contains(name))
        });
        left.copied().collect()
    }

    /// The first container of the image, or of what comes and goes with it.
    fn first_user(&self) -> Option<(ImageId, &ImageUser)> {
        // Not of what it was made of: that stays as it is.
        let own = std::iter::once(&self.image.id).chain(&self.image.variants);
        own.into_iter().find_map(|id| Some((*id, self.users.get(id)?.first()?)))
    }

    fn is_used(&self, id: ImageId) -> bool {
        self.users.get(&id).is_some_and(|users| !users.is_empty())
    }

    /// Whether another image was made of one of these.
    fn has_other_children(&self, images: &BTreeSet<ImageId>) -> bool {
        let mut children = images.iter().flat_map(|id| self.index.children(*id));
        children.any(|child| !images.contains(&child))
    }

    fn conflict(&self, several_names: bool, images: &BTreeSet<ImageId>) -> Option<Conflict> {
        if self.has_other_children(images) {
            let message = "image has dependent child images".to_owned();
            return Some(Conflict { hard: true, message });
        }
        let users = || images.iter().filter_map(|id| self.users.get(id)).flatten();
        if let Some(user) = users().find(|user| user.running) {
            let message = format!("image is being used by running container {}", short(&user.id));
            return Some(Conflict { hard: true, message });
        }
        if self.options.force {
            return None;
        }
        if several_names {
            let message = "image is referenced in multiple repositories".to_owned();
            return Some(Conflict { hard: false, message });
        }
        users().next().map(|user| {
            let message = format!("image is being used by stopped container {}", short(&user.id));
            Conflict { hard: false, message }
        })
    }
}

/// The names that go with `reference`: a repository's digests go with its last tag.
fn with_its_digests(all: &[Reference], reference: Reference) -> Vec<Reference> {
    let others = || all.iter().filter(|other| !same_name(other, &reference));
    let another_tag =
        others().any(|other| other.tag().is_some() && other.same_repository(&reference));
    if reference.digest().is_some() || another_tag {
        return vec![reference];
    }
    let digests: Vec<_> =
        others().filter(|other| other.same_repository(&reference)).cloned().collect();
    std::iter::once(reference).chain(digests).collect()
}

fn same_name(one: &Reference, other: &Reference) -> bool {
    one.same_repository(other)
        && match other.digest() {
            Some(digest) => one.digest() == Some(digest),
            None => one == other,
        }
}

/// Whether all names are of one repository, with at most one tag.
fn is_single(names: &[Reference]) -> bool {
    let Some(first) = names.first() else {
        return false;
    };
    names.iter().all(|name| name.same_repository(first))
        && names.iter().filter(|name| name.tag().is_some()).count() <= 1
}

/// Whether `name` is the beginning of the id, with or without `sha256:`.
fn is_id_prefix(id: ImageId, name: &str) -> bool {
    id.to_string().starts_with(name) || id.digest().hex().starts_with(name)
}

fn short(container: &str) -> &str {
    container.get(..12).unwrap_or(container)
}
