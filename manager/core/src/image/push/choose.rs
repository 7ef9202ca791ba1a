//! What goes to the registry for a name.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use super::Work;
use crate::error::{Error, Result};
use crate::image::Images;
use crate::image::catalog::Catalog;
use crate::image::digest::{Digest, ImageId};
use crate::image::image::Blob;
use crate::image::platform::Platform;
use crate::image::record::{ImageRecord, ListRecord, Target, Variant};
use crate::image::reference::Reference;

/// What is sent.
pub(super) enum Cargo {
    /// An image, with this manifest if it has several.
    Image { id: ImageId, manifest: Option<Blob> },
    /// One image of a list of which not all is here.
    Instead { id: ImageId, manifest: Blob, list: Blob },
    /// A list and all that it leads to.
    List(ListRecord),
}

impl Images {
    /// The tags that are to be pushed.
    pub(super) fn chosen(&self, name: &Reference) -> Result<Vec<(Reference, Target)>> {
        let index = self.catalog.read();
        let all = index.of_repository(name);
        if all.is_empty() {
            let name = name.familiar_name();
            return Err(Error::not_found(format!(
                "An image does not exist locally with the tag: {name}"
            )));
        }
        let wanted = |found: &Reference| match name.tag() {
            Some(tag) => found.tag() == Some(tag),
            None => found.tag().is_some(),
        };
        let named = all.into_iter().map(|(found, _)| found).filter(wanted);
        let chosen: Vec<_> =
            named.filter_map(|found| index.target(&found).map(|target| (found, target))).collect();
        match (chosen.is_empty(), name.tag()) {
            (false, _) => Ok(chosen),
            (true, Some(_)) => {
                let name = name.familiar();
                Err(Error::not_found(format!("tag does not exist: {name}")))
            }
            (true, None) => {
                let name = name.familiar_name();
                Err(Error::not_found(format!("no tags to push for {name}")))
            }
        }
    }
}

impl Work<'_> {
    /// What is sent for what `name` stands for.
    pub(super) fn choose(
        &self,
        name: &Reference,
        target: Target,
        platform: Option<&Platform>,
    ) -> Result<Cargo> {
        let catalog = &self.images.catalog;
        let index = catalog.read();
        match target {
            Target::Image(id) => {
                let image = index.image(id);
                let image =
                    image.ok_or_else(|| Error::not_found(format!("No such image: {id}")))?;
                let suits = |wanted: &Platform| wanted.rank_of(&image.config.platform()) == Some(0);
                match platform.filter(|wanted| !suits(wanted)) {
                    Some(wanted) => Err(not_provided(name, wanted)),
                    None => Ok(Cargo::Image { id, manifest: None }),
                }
            }
            Target::List(digest) => {
                let list = index.manifest_list(digest).cloned();
                drop(index);
                let list = list.ok_or_else(|| {
                    Error::not_found(format!("No such image: {}", name.familiar()))
                })?;
                catalog.of_list(name, list, platform)
            }
        }
    }
}

impl Catalog {
    fn of_list(
        &self,
        name: &Reference,
        list: ListRecord,
        platform: Option<&Platform>,
    ) -> Result<Cargo> {
        let Some(platform) = platform else {
            if self.is_all_here(&list)? {
                return Ok(Cargo::List(list));
            }
            return instead(list);
        };
        let mut suiting =
            list.variants.iter().filter(|variant| platform.rank_of(&variant.platform) == Some(0));
        match (suiting.next(), suiting.next()) {
            (Some(Variant { image, manifest, .. }), None) => {
                Ok(Cargo::Image { id: *image, manifest: Some(manifest.clone()) })
            }
            (Some(_), Some(_)) => {
                Err(Error::conflict(format!("multiple manifests found for platform {platform}")))
            }
            (None, _) => Err(not_provided(name, platform)),
        }
    }

    /// Whether all that the list leads to is here.
    fn is_all_here(&self, list: &ListRecord) -> Result<bool> {
        let mut lists = vec![list.list.digest];
        while let Some(digest) = lists.pop() {
            let content = self.blobs.content(digest)?;
            let index: ImageIndex = serde_json::from_slice(&content)
                .map_err(|error| Error::system(format!("read the list {digest}: {error}")))?;
            for entry in index.manifests() {
                match self.part(list, entry)? {
                    Part::Here => {}
                    Part::List(digest) => lists.push(digest),
                    Part::Missing => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    fn part(&self, list: &ListRecord, entry: &Descriptor) -> Result<Part> {
        let digest: Digest = entry.digest().to_string().parse()?;
        let variant = list.variants.iter().find(|variant| variant.manifest.digest == digest);
        if let Some(variant) = variant {
            let record = self.read().image(variant.image).map(|image| image.record.clone());
            let whole = record.is_some_and(|record| self.consists_of(&record, &variant.manifest));
            return Ok(if whole { Part::Here } else { Part::Missing });
        }
        let Some(other) = list.others.iter().find(|other| other.digest == digest) else {
            return Ok(Part::Missing);
        };
        let kind = crate::registry::ManifestKind::of(&other.media_type);
        let is_list = kind.is_some_and(crate::registry::ManifestKind::is_list);
        Ok(if is_list { Part::List(digest) } else { Part::Here })
    }

    /// Whether the blobs of an image are those that the manifest names: its layers may be here in
    /// another form.
    pub(in crate::image) fn consists_of(&self, record: &ImageRecord, manifest: &Blob) -> bool {
        if record.manifest.as_ref().is_some_and(|own| own.digest == manifest.digest) {
            return true;
        }
        let content = self.blobs.content(manifest.digest).ok();
        let manifest =
            content.and_then(|content| serde_json::from_slice::<ImageManifest>(&content).ok());
        manifest.is_some_and(|manifest| {
            let named = manifest.layers().iter().map(|layer| layer.digest().to_string());
            named.eq(record.layers.iter().map(|layer| layer.blob.digest.to_string()))
        })
    }
}

/// How an entry of a list is here.
enum Part {
    Here,
    /// A list, whose entries have to be here, too.
    List(Digest),
    Missing,
}

/// Of what is here of a list, the only image, or the one for this machine.
fn instead(list: ListRecord) -> Result<Cargo> {
    let host = Platform::host();
    let chosen = match list.variants.as_slice() {
        [only] => Some(only),
        several => {
            let ranked = several
                .iter()
                .filter_map(|variant| Some((host.rank_of(&variant.platform)?, variant)));
            ranked.min_by_key(|(rank, _)| *rank).map(|(_, variant)| variant)
        }
    };
    let Some(Variant { image, manifest, .. }) = chosen else {
        return Err(Error::conflict(
            "multiple matching manifests found but no specific platform requested",
        ));
    };
    Ok(Cargo::Instead { id: *image, manifest: manifest.clone(), list: list.list.clone() })
}

fn not_provided(name: &Reference, platform: &Platform) -> Error {
    Error::not_found(format!(
        "image with reference {} was found but does not provide the specified platform ({platform})",
        name.familiar()
    ))
}
