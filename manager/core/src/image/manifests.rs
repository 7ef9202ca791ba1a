//! What the names of an image stand for, manifest by manifest: its own, or those of a list, with
//! what of them is here.

use std::collections::BTreeSet;

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde_json::Value;

use super::catalog::Catalog;
use super::digest::{Digest, ImageId};
use super::image::{Blob, Image};
use super::list::{attested, is_image};
use super::manifest::describe;
use super::platform::Platform;
use super::record::{ImageRecord, ListRecord};
use crate::error::{Error, Result};

/// A manifest, as far as it is here.
#[derive(Debug, Clone)]
pub struct ListedManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its descriptor, as its list has it.
    pub descriptor: Value,
    /// Whether it is here with all that it names.
    pub available: bool,
    /// Bytes of its blobs that are here, with its own.
    pub content: u64,
    /// What it is.
    pub kind: ListedKind,
}

/// What a manifest is.
#[derive(Debug, Clone)]
pub enum ListedKind {
    /// An image.
    Image {
        /// What it is for, as a descriptor has it.
        platform: Value,
        /// The image, if it is here.
        image: Option<ImageId>,
        /// Bytes of the files in its layers.
        unpacked: u64,
    },
    /// Something that is said about an image.
    Attestation {
        /// The image's manifest.
        of: Digest,
    },
    /// Something else.
    Unknown,
}

impl Catalog {
    /// The manifests that the names of `image` stand for, in the order of their list.
    pub(super) fn manifests(&self, image: &Image) -> Vec<ListedManifest> {
        let (lists, record) = {
            let index = self.read();
            let lists = image.lists.iter().filter_map(|list| index.manifest_list(*list).cloned());
            (lists.collect::<Vec<_>>(), index.image(image.id).map(|image| image.record.clone()))
        };
        let mut all = Vec::new();
        for list in &lists {
            let before = all.len();
            // What can't be read must not keep the others from being seen.
            if let Err(error) = self.add_list(&mut all, list) {
                tracing::warn!(list = %list.list.digest, %error, "a list of images is left out");
                all.truncate(before);
            }
        }
        if lists.is_empty()
            && let Some(record) = record
            && let Some(own) = &record.manifest
        {
            all.push(alone(&record, own, &image.platform()));
        }
        all
    }

    /// Leaves out of a list what is said about images that are not here.
    pub(super) fn leave_out_strangers(&self, record: &mut ListRecord) {
        let here: BTreeSet<Digest> =
            record.variants.iter().map(|variant| variant.manifest.digest).collect();
        let mut all = Vec::new();
        if let Err(error) = self.add_list(&mut all, record) {
            // What can't be read is not known to be of no use.
            tracing::warn!(list = %record.list.digest, %error, "a list of images stays as it is");
            return;
        }
        let mut of_no_use = BTreeSet::new();
        let mut needed = BTreeSet::new();
        for listed in all {
            if let ListedKind::Attestation { of } = listed.kind {
                let blobs = self.attestation(record, listed.digest).into_iter();
                let set = if here.contains(&of) { &mut needed } else { &mut of_no_use };
                set.extend(blobs.map(|blob| blob.digest));
            }
        }
        record
            .others
            .retain(|blob| needed.contains(&blob.digest) || !of_no_use.contains(&blob.digest));
    }

    fn add_list(&self, all: &mut Vec<ListedManifest>, record: &ListRecord) -> Result<()> {
        let mut known: BTreeSet<Digest> = all.iter().map(|listed| listed.digest).collect();
        let mut lists = vec![record.list.digest];
        while let Some(list) = lists.pop() {
            let index: ImageIndex = self.parsed(list)?;
            for entry in index.manifests() {
                let digest: Digest = entry.digest().to_string().parse()?;
                let other = record.others.iter().find(|other| other.digest == digest);
                if other.is_some_and(is_list) {
                    lists.push(digest);
                } else if known.insert(digest) {
                    all.push(self.listed(record, entry, digest)?);
                }
            }
        }
        Ok(())
    }

    fn listed(
        &self,
        record: &ListRecord,
        entry: &Descriptor,
        digest: Digest,
    ) -> Result<ListedManifest> {
        let descriptor = serde_json::to_value(entry)
            .map_err(|error| Error::system(format!("encode a descriptor: {error}")))?;
        if let Some(of) = attested(entry) {
            let blobs = self.attestation(record, digest);
            let content = blobs.iter().map(|blob| blob.size).sum();
            let kind = ListedKind::Attestation { of };
            return Ok(ListedManifest {
                digest,
                descriptor,
                available: content > 0,
                content,
                kind,
            });
        }
        if !is_image(entry) {
            let kind = ListedKind::Unknown;
            return Ok(ListedManifest { digest, descriptor, available: false, content: 0, kind });
        }
        let variant = record.variants.iter().find(|variant| variant.manifest.digest == digest);
        let image = variant
            .and_then(|variant| self.read().image(variant.image).map(|image| image.record.clone()));
        let available = image.as_ref().zip(variant);
        let available =
            available.is_some_and(|(image, variant)| self.consists_of(image, &variant.manifest));
        let platform = descriptor.get("platform").cloned();
        let platform = platform.or_else(|| variant.map(|variant| encoded(&variant.platform)));
        let kind = ListedKind::Image {
            platform: platform.unwrap_or_default(),
            image: variant.map(|variant| variant.image),
            unpacked: image.as_ref().map_or(0, unpacked),
        };
        let blobs = image.as_ref().map_or(0, content);
        let own = variant.map_or(0, |variant| variant.manifest.size);
        Ok(ListedManifest { digest, descriptor, available, content: blobs + own, kind })
    }

    /// The blobs of an attestation that is here.
    fn attestation<'a>(&self, record: &'a ListRecord, digest: Digest) -> Vec<&'a Blob> {
        let find = |digest: Digest| record.others.iter().find(|other| other.digest == digest);
        let Some(own) = find(digest) else { return Vec::new() };
        let Ok(manifest) = self.parsed::<ImageManifest>(digest) else { return vec![own] };
        let parts = std::iter::once(manifest.config()).chain(manifest.layers());
        let parts = parts.filter_map(|part| find(part.digest().to_string().parse().ok()?));
        std::iter::once(own).chain(parts).collect()
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, digest: Digest) -> Result<T> {
        let content = self.blobs.content(digest)?;
        serde_json::from_slice(&content)
            .map_err(|error| Error::system(format!("read the manifest {digest}: {error}")))
    }
}

/// An image without a list.
fn alone(record: &ImageRecord, own: &Blob, platform: &Platform) -> ListedManifest {
    ListedManifest {
        digest: own.digest,
        descriptor: describe(own),
        available: true,
        content: content(record) + own.size,
        kind: ListedKind::Image {
            platform: encoded(platform),
            image: Some(record.id()),
            unpacked: unpacked(record),
        },
    }
}

/// Bytes of an image's configuration and of its layers as they came.
fn content(record: &ImageRecord) -> u64 {
    let layers: BTreeSet<(Digest, u64)> =
        record.layers.iter().map(|layer| (layer.blob.digest, layer.blob.size)).collect();
    record.config.size + layers.iter().map(|(_, size)| size).sum::<u64>()
}

fn unpacked(record: &ImageRecord) -> u64 {
    record.layers.iter().map(|layer| layer.size).sum()
}

fn is_list(blob: &Blob) -> bool {
    crate::registry::ManifestKind::of(&blob.media_type)
        .is_some_and(crate::registry::ManifestKind::is_list)
}

fn encoded(platform: &Platform) -> Value {
    let mut value = serde_json::json!({ "architecture": platform.architecture, "os": "linux" });
    if let Some(variant) = &platform.variant {
        value["variant"] = Value::String(variant.clone());
    }
    value
}
