//! OCI's form of an archive: `index.json` leads to manifests, these to blobs.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::de::DeserializeOwned;

use super::spool::{Spool, Spooled};
use super::{Found, Manifest};
use crate::error::{Error, Result};
use crate::image::blobs::Blobs;
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::reference::Reference;

/// The whole name, as containerd and buildx write it.
const NAME: &str = "io.containerd.image.name";
/// A tag or a whole name, as the specification leaves open.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Marks what is no image, but says something about one.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// An index in an index in an index is as deep as anyone goes.
const DEEPEST: usize = 4;

const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// The images that the index leads to: each of its own entries, and of a nested index the one for
/// this machine.
pub(super) fn find(spool: &Spool, blobs: &Blobs, index: &[u8]) -> Result<Vec<Found>> {
    let layout = Layout { spool, blobs };
    let index: ImageIndex = decode("index.json", index)?;
    let entries = index.manifests().iter().filter(|entry| is_image(entry));
    entries.map(|entry| layout.image(entry, name(entry)?, 0)).collect()
}

struct Layout<'a> {
    spool: &'a Spool,
    blobs: &'a Blobs,
}

impl Layout<'_> {
    fn image(&self, entry: &Descriptor, name: Option<Reference>, depth: usize) -> Result<Found> {
        let media_type = entry.media_type().to_string();
        let blob = self.blob(entry)?;
        let content = blob.small(self.blobs)?;
        let shown = entry.digest().to_string();
        if INDEXES.contains(&media_type.as_str()) {
            if depth == DEEPEST {
                return Err(Error::invalid("invalid archive: its indexes are nested too deep"));
            }
            let index: ImageIndex = decode(&shown, &content)?;
            return self.image(select(&index)?, name, depth + 1);
        }
        if !MANIFESTS.contains(&media_type.as_str()) {
            return Err(Error::unsupported(format!("a manifest of type {media_type}")));
        }
        let manifest: ImageManifest = decode(&shown, &content)?;
        let config_type = manifest.config().media_type().to_string();
        if !CONFIGS.contains(&config_type.as_str()) {
            return Err(Error::unsupported(format!("an image with a {config_type}")));
        }
        let config = self.blob(manifest.config())?;
        let layers: Result<Vec<_>> =
            manifest.layers().iter().map(|layer| self.blob(layer)).collect();
        let manifest = Some(Manifest { blob, media_type });
        Ok(Found { config, layers: layers?, manifest, names: name.into_iter().collect() })
    }

    /// The blob that `entry` describes, found to be what it says.
    fn blob(&self, entry: &Descriptor) -> Result<Spooled> {
        let digest: Digest = entry.digest().to_string().parse()?;
        let blob = self.spool.require(&format!("blobs/sha256/{}", digest.hex()))?;
        if (blob.digest, blob.size) != (digest, entry.size()) {
            return Err(Error::invalid(format!(
                "invalid archive: the blob {digest} has {} bytes with the digest {}",
                blob.size, blob.digest
            )));
        }
        Ok(blob.clone())
    }
}

/// Of an index for several platforms, the image for this one.
fn select(index: &ImageIndex) -> Result<&Descriptor> {
    let host = Platform::host();
    let images = || index.manifests().iter().filter(|entry| is_image(entry));
    let suits = |entry: &&Descriptor| {
        entry.platform().as_ref().is_some_and(|platform| {
            host.runs(
                &platform.os().to_string(),
                &platform.architecture().to_string(),
                platform.variant().as_deref(),
            )
        })
    };
    let only =
        || images().next().filter(|entry| images().count() == 1 && entry.platform().is_none());
    images()
        .find(suits)
        .or_else(only)
        .ok_or_else(|| Error::invalid(format!("invalid archive: it has no image for {host}")))
}

/// Attestations and their like are not images.
fn is_image(entry: &Descriptor) -> bool {
    annotation(entry, REFERENCE_TYPE).is_none()
}

fn name(entry: &Descriptor) -> Result<Option<Reference>> {
    let whole = annotation(entry, REF_NAME).filter(|name| name.contains(['/', ':']));
    let name = annotation(entry, NAME).or(whole);
    name.map(|name| Reference::parse(name).map(Reference::or_latest)).transpose()
}

fn annotation<'a>(entry: &'a Descriptor, key: &str) -> Option<&'a String> {
    entry.annotations().as_ref().and_then(|annotations| annotations.get(key))
}

fn decode<T: DeserializeOwned>(what: &str, content: &[u8]) -> Result<T> {
    serde_json::from_slice(content).map_err(|error| {
        Error::invalid(format!("invalid archive: failed to decode {what}: {error}"))
    })
}
