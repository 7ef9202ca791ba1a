//! From a name to the manifest of one image.

use std::sync::Arc;

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use crate::error::{Error, Result};
use crate::image::blocking_with;
use crate::image::catalog::Catalog;
use crate::image::digest::{Digest, ImageId};
use crate::image::list::is_image;
use crate::image::platform::Platform;
use crate::image::record::{ListRecord, Target};
use crate::image::reference::Reference;
use crate::registry::{Failure, Manifest, Received, Session};

/// An index in an index in an index is as deep as anyone goes.
const DEEPEST: usize = 4;
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// The manifest of an image, and the way to it.
pub(super) struct Resolved {
    /// The digest of what has the name: the manifest itself, or a list that leads to it.
    pub(super) top: Digest,
    /// The lists that led to it, the one that has the name first.
    pub(super) lists: Vec<Received>,
    /// What the image is for, as the list says.
    pub(super) platform: Option<Platform>,
    pub(super) received: Received,
    pub(super) image: Box<ImageManifest>,
}

/// What of an image is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    /// Nothing that counts.
    No,
    /// The image, but not what led to it now.
    Image(ImageId),
    /// All of it, with the list that led to it, if one did.
    Listed(ImageId),
}

impl Resolved {
    /// What its name stands for when the image has this id.
    pub(super) fn target(&self, id: ImageId) -> Target {
        if self.lists.is_empty() { Target::Image(id) } else { Target::List(self.top) }
    }

    /// How much of it is here.
    pub(super) async fn here(&self, catalog: &Arc<Catalog>) -> Result<Here, Error> {
        let Ok(digest) = self.image.config().digest().to_string().parse() else {
            return Ok(Here::No);
        };
        let id = ImageId(digest);
        let (record, list) = {
            let index = catalog.read();
            let Some(image) = index.image(id) else { return Ok(Here::No) };
            let list = match self.target(id) {
                Target::Image(_) => None,
                Target::List(list) => index.manifest_list(list).cloned(),
            };
            (image.record.clone(), list)
        };
        let known = match &list {
            None => self.lists.is_empty() && record.manifest.is_some(),
            Some(list) => {
                let manifest = self.received.digest;
                list.variants.iter().any(|variant| variant.manifest.digest == manifest)
            }
        };
        // Of an image that was damaged, what is missing comes again.
        let look = move |catalog: &Catalog| {
            let others = list.iter().flat_map(ListRecord::blobs);
            Ok(match catalog.is_whole(&record) {
                false => Here::No,
                true if known && catalog.missing(others).is_none() => Here::Listed(id),
                true => Here::Image(id),
            })
        };
        blocking_with(catalog, look).await
    }
}

/// Where manifests are had: from the registry, or from here where it is known which one it is.
pub(super) struct Manifests<'a> {
    pub(super) session: &'a Session,
    pub(super) catalog: &'a Arc<Catalog>,
}

impl Manifests<'_> {
    /// The image called `name`; of several, the one for the platform.
    pub(super) async fn resolve(
        &self,
        name: &Reference,
        wanted: Option<&Platform>,
    ) -> Result<Resolved, Failure> {
        let mut received = self.first(name).await?;
        let top = received.digest;
        let (mut lists, mut platform) = (Vec::new(), None);
        for _ in 0..DEEPEST {
            match received.manifest.clone() {
                Manifest::Image(image) => {
                    check_config(&image)?;
                    return Ok(Resolved { top, lists, platform, received, image });
                }
                Manifest::Index(index) => {
                    let entry = select(&index, wanted)?;
                    platform = platform_of(entry).or(platform);
                    let digest = entry.digest().to_string().parse()?;
                    lists.push(received);
                    received = self.with_digest(name, digest).await?;
                }
            }
        }
        Err(Failure::Wrong(format!("the indexes of {} are nested too deep", name.familiar())))
    }

    /// What has the name. If something here has it, the registry is asked first whether it is still
    /// the same.
    async fn first(&self, name: &Reference) -> Result<Received, Failure> {
        if self.catalog.read().target(name).is_none() {
            return self.session.manifest(name).await;
        }
        let digest = match name.digest() {
            Some(digest) => Some(digest),
            None => self.session.manifest_digest(name).await?,
        };
        let here = match digest {
            Some(digest) => self.here(digest, name).await,
            None => None,
        };
        match here {
            Some(received) => Ok(received),
            None => self.session.manifest(name).await,
        }
    }

    /// What has the digest in the repository of `name`.
    pub(super) async fn with_digest(
        &self,
        name: &Reference,
        digest: Digest,
    ) -> Result<Received, Failure> {
        match self.here(digest, name).await {
            Some(received) => Ok(received),
            None => self.session.manifest(&name.clone().with_digest(digest)).await,
        }
    }

    /// A manifest that is here, and whole.
    async fn here(&self, digest: Digest, name: &Reference) -> Option<Received> {
        let name = name.clone();
        let read = move |catalog: &Catalog| {
            let content = catalog.blobs.small(digest, Received::LONGEST);
            let received = content.and_then(|content| Received::read(content, "", &name).ok());
            Ok(received.filter(|received| received.digest == digest))
        };
        blocking_with(self.catalog, read).await.ok().flatten()
    }
}

/// What an entry of a list is for, if that is a platform of ours.
fn platform_of(entry: &Descriptor) -> Option<Platform> {
    let platform = entry.platform().as_ref()?;
    let (os, architecture) = (platform.os().to_string(), platform.architecture().to_string());
    Platform::of(&os, &architecture, platform.variant().as_deref()).ok()
}

/// What is no image, such as a chart, is refused before anything is fetched.
fn check_config(image: &ImageManifest) -> Result<(), Error> {
    let media_type = image.config().media_type().to_string();
    if CONFIGS.contains(&media_type.as_str()) {
        return Ok(());
    }
    let class = match media_type.as_str() {
        "application/vnd.docker.plugin.v1+json" => "plugin",
        _ => "unknown",
    };
    Err(Error::invalid(format!("Encountered remote {media_type:?}({class}) when fetching")))
}

/// The entry that suits the platform best.
fn select<'a>(index: &'a ImageIndex, wanted: Option<&Platform>) -> Result<&'a Descriptor, Error> {
    let host = Platform::host();
    let wanted = wanted.unwrap_or(&host);
    let entries = index.manifests().iter().filter(|entry| is_image(entry));
    let ranked = entries.filter_map(|entry| Some((wanted.rank_of(&platform_of(entry)?)?, entry)));
    let best = ranked.min_by_key(|(rank, _)| *rank);
    best.map(|(_, entry)| entry).ok_or_else(|| {
        Error::not_found(format!("no matching manifest for {wanted} in the manifest list entries"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::image::list::REFERENCE_TYPE;

    fn index(platforms: &[&str]) -> ImageIndex {
        let manifests: Vec<_> = platforms
            .iter()
            .map(|text| {
                let mut parts = text.split('/');
                let mut platform = json!({ "os": parts.next(), "architecture": parts.next() });
                if let Some(variant) = parts.next() {
                    platform["variant"] = json!(variant);
                }
                json!({
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "digest": Digest::of(text.as_bytes()).to_string(),
                    "size": 1,
                    "platform": platform,
                })
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        serde_json::from_value(index).unwrap()
    }

    fn selected(platforms: &[&str], wanted: &str) -> Option<String> {
        let index = index(platforms);
        let wanted = Platform::parse(wanted).unwrap();
        let digest = select(&index, Some(&wanted)).ok()?.digest().to_string();
        let chosen =
            platforms.iter().find(|text| Digest::of(text.as_bytes()).to_string() == digest);
        chosen.map(|text| (*text).to_owned())
    }

    #[test]
    fn the_best_platform_is_chosen() {
        let all =
            ["linux/amd64/v3", "windows/amd64", "linux/amd64", "linux/arm/v6", "linux/arm/v7"];
        let select = |wanted: &str| selected(&all, wanted);
        assert_eq!(select("linux/amd64").as_deref(), Some("linux/amd64"));
        assert_eq!(select("linux/arm/v7").as_deref(), Some("linux/arm/v7"));
        assert_eq!(selected(&all[..4], "linux/arm/v7").as_deref(), Some("linux/arm/v6"));
        assert_eq!(select("linux/arm/v5"), None);
        assert_eq!(select("linux/s390x"), None);
    }

    #[test]
    fn attestations_are_no_images() {
        let mut value = serde_json::to_value(index(&["linux/amd64"])).unwrap();
        value["manifests"][0]["annotations"] = json!({ REFERENCE_TYPE: "attestation-manifest" });
        let index: ImageIndex = serde_json::from_value(value).unwrap();
        let wanted = Platform::parse("linux/amd64").unwrap();
        let error = select(&index, Some(&wanted)).unwrap_err();
        let expected = "no matching manifest for linux/amd64 in the manifest list entries";
        assert_eq!(error.to_string(), expected);
    }
}
