//! `remove`: names go one by one, the image with its last name.

use super::catalog::Catalog;
use super::digest::ImageId;
use super::image::Image;
use super::reference::Reference;
use super::{ImageUser, RemoveImage, Removed};
use crate::error::{Error, Result};

/// Why an image can't be deleted.
struct Conflict {
    /// Even `force` doesn't help.
    hard: bool,
    /// A container is in the way, not just a name.
    used: bool,
    message: String,
}

impl Catalog {
    /// Takes away what `name` names: with an id, the image and all its names; with a reference,
    /// that name, and the image if it was the last one. `users` are the image's containers.
    pub(super) fn remove(
        &self,
        id: ImageId,
        name: &str,
        options: RemoveImage,
        users: &[ImageUser],
    ) -> Result<Vec<Removed>> {
        let plan = {
            let _one_at_a_time = self.lock_changes();
            let image = self
                .read()
                .image(id)
                .map(super::index::Indexed::shown)
                .ok_or_else(|| Error::not_found(format!("No such image: {name}")))?;
            let plan = plan(&image, name, options, users)?;
            self.forget(id, &plan.names, plan.image)?;
            plan
        };
        let mut removed = Vec::new();
        for name in &plan.names {
            self.tell("untag", id, &id.to_string());
            removed.push(Removed::Untagged(name.familiar()));
        }
        if plan.image {
            self.tell("delete", id, &id.to_string());
            removed.push(Removed::Deleted(id.to_string()));
            let layers = self.collect();
            removed.extend(layers.iter().map(|layer| Removed::Deleted(layer.to_string())));
        }
        Ok(removed)
    }
}

/// What a removal takes away.
struct Plan {
    names: Vec<Reference>,
    image: bool,
}

fn plan(image: &Image, name: &str, options: RemoveImage, users: &[ImageUser]) -> Result<Plan> {
    if is_id_prefix(image.id, name) {
        return plan_by_id(image, options, users);
    }
    let reference = Reference::parse(name)?.or_latest();
    if !options.force
        && is_single(&image.references)
        && let Some(user) = users.first()
    {
        return Err(Error::conflict(format!(
            "conflict: unable to remove repository reference {name:?} (must force) - container {} \
             is using its referenced image {}",
            short(&user.id),
            image.id.short(),
        )));
    }
    let (names, rest) = with_its_digests(image, reference);
    let last = rest.is_empty();
    // The name was what was asked for; an image that is still needed stays without a word.
    let needed = conflict(&[], options, users).is_some_and(|conflict| conflict.used);
    Ok(Plan { names, image: last && !needed })
}

fn plan_by_id(image: &Image, options: RemoveImage, users: &[ImageUser]) -> Result<Plan> {
    // One name goes with its image without force, several don't.
    let names: &[Reference] = if is_single(&image.references) { &[] } else { &image.references };
    if let Some(conflict) = conflict(names, options, users) {
        let force = if conflict.hard { "cannot be forced" } else { "must be forced" };
        return Err(Error::conflict(format!(
            "conflict: unable to delete {} ({force}) - {}",
            image.id.short(),
            conflict.message
        )));
    }
    Ok(Plan { names: image.references.clone(), image: true })
}

fn conflict(names: &[Reference], options: RemoveImage, users: &[ImageUser]) -> Option<Conflict> {
    if let Some(user) = users.iter().find(|user| user.running) {
        let message = format!("image is being used by running container {}", short(&user.id));
        return Some(Conflict { hard: true, used: true, message });
    }
    if options.force {
        return None;
    }
    if !names.is_empty() {
        let message = "image is referenced in multiple repositories".to_owned();
        return Some(Conflict { hard: false, used: false, message });
    }
    users.first().map(|user| {
        let message = format!("image is being used by stopped container {}", short(&user.id));
        Conflict { hard: false, used: true, message }
    })
}

/// The names that go with `reference`, and those that remain: a repository's digests go with its
/// last tag.
fn with_its_digests(image: &Image, reference: Reference) -> (Vec<Reference>, Vec<Reference>) {
    let others: Vec<Reference> =
        image.references.iter().filter(|other| !same_name(other, &reference)).cloned().collect();
    let mut gone = vec![reference.clone()];
    let another_tag =
        others.iter().any(|other| other.tag().is_some() && other.same_repository(&reference));
    if reference.digest().is_some() || another_tag {
        return (gone, others);
    }
    let (digests, rest) = others.into_iter().partition(|other| other.same_repository(&reference));
    gone.extend::<Vec<_>>(digests);
    (gone, rest)
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
