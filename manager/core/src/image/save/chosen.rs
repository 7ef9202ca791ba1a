//! Which images are saved, and under which names.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Kind, Result};
use crate::image::catalog::Catalog;
use crate::image::digest::{Digest, ImageId};
use crate::image::index::Index;
use crate::image::platform::Platform;
use crate::image::record::{ImageRecord, ListRecord, Target, Variant};
use crate::image::reference::Reference;
use crate::snapshot::Hold;

/// What is to be saved. It stays until then, whatever becomes of the images.
pub(super) struct Chosen {
    pub(super) images: Vec<ChosenImage>,
    pub(super) lists: Vec<ChosenList>,
    _blobs: Vec<Hold<Digest>>,
}

/// An image to be saved.
pub(super) struct ChosenImage {
    pub(super) record: ImageRecord,
    /// Asked for by itself, under those of its names; none: only lists lead to it.
    pub(super) alone: Option<BTreeSet<Reference>>,
    /// Names of lists by which it is the image that is meant.
    pub(super) meant: BTreeSet<Reference>,
}

/// A list of images to be saved, with as many of its images as are here.
pub(super) struct ChosenList {
    pub(super) record: ListRecord,
    pub(super) names: BTreeSet<Reference>,
}

/// Images, lists and names, as far as they were asked for.
#[derive(Default)]
struct Asked {
    alone: BTreeMap<ImageId, BTreeSet<Reference>>,
    lists: BTreeMap<Digest, BTreeSet<Reference>>,
}

impl Catalog {
    /// What `names` name, in the order of ids and digests.
    pub(super) fn choose(&self, names: &[String], platform: Option<&Platform>) -> Result<Chosen> {
        let index = self.read();
        let mut asked = Asked::default();
        for name in names {
            asked.add(&index, name, platform)?;
        }
        let (mut images, mut lists) = (BTreeMap::new(), Vec::new());
        for (id, names) in asked.alone {
            image(&index, &mut images, id).map(|image| image.alone.replace(names));
        }
        for (digest, names) in asked.lists {
            let Some(list) = index.manifest_list(digest) else { continue };
            let whole = whole(&index, list);
            let meant = index.meant(Target::List(digest));
            if let Some(image) = meant.and_then(|meant| image(&index, &mut images, meant)) {
                let as_listed = whole.variants.iter().any(|of| of.image == image.record.id());
                let names = names.clone();
                // What the list says of it is no use if it is here in another form.
                if as_listed {
                    image.meant.extend(names);
                } else {
                    image.alone.get_or_insert_default().extend(names);
                }
            }
            for variant in &whole.variants {
                image(&index, &mut images, variant.image);
            }
            let meant_as_listed = whole.variants.iter().any(|variant| Some(variant.image) == meant);
            if meant_as_listed {
                lists.push(ChosenList { record: whole, names });
            }
        }
        let images: Vec<ChosenImage> = images.into_values().collect();
        let of_images = images.iter().flat_map(|image| image.record.blobs());
        let of_lists = lists.iter().flat_map(|list: &ChosenList| list.record.blobs());
        let blobs = self.blobs.hold(of_images.chain(of_lists).map(|blob| blob.digest));
        Ok(Chosen { images, lists, _blobs: vec![blobs] })
    }
}

impl Asked {
    fn add(&mut self, index: &Index, name: &str, platform: Option<&Platform>) -> Result<()> {
        let reference = Reference::parse(name).ok();
        if let Some(repository) = reference.as_ref().filter(|name| name.is_name_only()) {
            let all = index.of_repository(repository);
            for (name, _) in &all {
                self.add_one(index, &name.to_string(), Some(name.clone()), platform)?;
            }
            if !all.is_empty() {
                return Ok(());
            }
            // It may be the beginning of an id.
            let found = self.add_one(index, name, None, platform);
            let shown = repository.familiar_name();
            return found.map_err(|error| match error.kind() {
                Kind::NotFound if platform.is_none() => {
                    Error::not_found(format!("No such image: {shown}"))
                }
                _ => error,
            });
        }
        let named = reference.filter(|name| index.named(name).is_some());
        self.add_one(index, name, named, platform)
    }

    fn add_one(
        &mut self,
        index: &Index,
        name: &str,
        reference: Option<Reference>,
        platform: Option<&Platform>,
    ) -> Result<()> {
        let target = match platform {
            None => index.resolve_target(name)?.0,
            Some(platform) => {
                let image = index.resolve_for(name, platform);
                let doing = "no suitable export target found";
                Target::Image(image.map_err(|error| error.while_doing(doing))?.id)
            }
        };
        let names = match target {
            Target::Image(id) => self.alone.entry(id).or_default(),
            Target::List(digest) => self.lists.entry(digest).or_default(),
        };
        // An archive has tags; digests are in it anyway.
        names.extend(reference.filter(|name| name.digest().is_none()));
        Ok(())
    }
}

/// The place of an image among those that are saved.
fn image<'a>(
    index: &Index,
    images: &'a mut BTreeMap<ImageId, ChosenImage>,
    id: ImageId,
) -> Option<&'a mut ChosenImage> {
    let record = index.image(id)?.record.clone();
    let meant = BTreeSet::new();
    Some(images.entry(id).or_insert(ChosenImage { record, alone: None, meant }))
}

/// The list with those of its images that are here as it says.
fn whole(index: &Index, list: &ListRecord) -> ListRecord {
    let as_listed = |variant: &&Variant| {
        let image = index.image(variant.image);
        let manifest = image.and_then(|image| image.record.manifest.as_ref());
        manifest.is_some_and(|manifest| manifest.digest == variant.manifest.digest)
    };
    let variants = list.variants.iter().filter(as_listed).cloned().collect();
    ListRecord { variants, ..list.clone() }
}
