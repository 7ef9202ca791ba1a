//! OCI's form of an archive: `index.json` leads to manifests and lists of them, these to blobs.

use std::collections::HashSet;

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::de::DeserializeOwned;

use super::found::{Described, Found, FoundImage, FoundList, FoundVariant, check_count};
use super::spool::{Spool, Spooled};
use crate::error::{Error, Result};
use crate::image::blobs::Blobs;
use crate::image::digest::{Digest, ImageId};
use crate::image::list::{attested, is_image};
use crate::image::platform::Platform;
use crate::image::reference::Reference;

/// The whole name, as containerd and buildx write it.
const NAME: &str = "io.containerd.image.name";
/// A tag or a whole name, as the specification leaves open.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Bytes of lists, manifests and configurations that are read of one archive.
const MOST_READ: u64 = 512 << 20;
/// A list in a list in a list is as deep as anyone goes.
const DEEPEST: usize = 4;

const LISTS: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// The images and lists that `index.json` leads to.
pub(super) fn find(spool: &Spool, blobs: &Blobs, index: &[u8]) -> Result<Found> {
    let found = Found::default();
    let mut layout = Layout { spool, blobs, found, listed: 0, read: 0 };
    let index: ImageIndex = decode("index.json", index)?;
    layout.count(&index)?;
    for entry in index.manifests().iter().filter(|entry| is_image(entry)) {
        layout.add(entry)?;
    }
    Ok(layout.found)
}

struct Layout<'a> {
    spool: &'a Spool,
    blobs: &'a Blobs,
    found: Found,
    /// Entries of all lists so far.
    listed: usize,
    /// Bytes of lists, manifests and configurations that were read so far.
    read: u64,
}

/// What a list leads to.
#[derive(Default)]
struct Gathered {
    variants: Vec<FoundVariant>,
    others: Vec<Described>,
    /// The lists themselves.
    lists: HashSet<Digest>,
    /// Attestations, each of the manifest that it says something about.
    attestations: Vec<(Digest, Vec<Described>)>,
}

impl Layout<'_> {
    /// Adds what an entry of `index.json` is; another name of the same is added to it.
    fn add(&mut self, entry: &Descriptor) -> Result<()> {
        let media_type = entry.media_type().to_string();
        let names = name(entry);
        if LISTS.contains(&media_type.as_str()) {
            return self.add_list(Described { blob: self.blob(entry)?, media_type }, names);
        }
        if !MANIFESTS.contains(&media_type.as_str()) {
            return Err(Error::unsupported(format!("a manifest of type {media_type}")));
        }
        let manifest = self.manifest(entry)?;
        for part in std::iter::once(manifest.config()).chain(manifest.layers()) {
            self.blob(part)?;
        }
        let id = self.add_image(entry, &manifest)?;
        if let Some(image) = self.found.images.iter_mut().find(|image| image.id() == id) {
            image.names.extend(names);
        }
        Ok(())
    }

    /// Adds a list, and its images that are whole in the archive: others may have been left out.
    fn add_list(&mut self, list: Described, names: Option<Reference>) -> Result<()> {
        let same = |other: &&mut FoundList| other.list.blob.digest == list.blob.digest;
        if let Some(known) = self.found.lists.iter_mut().find(same) {
            known.names.extend(names);
            return Ok(());
        }
        let mut gathered = Gathered::default();
        self.gather(&list.blob, &mut gathered, 1)?;
        let Gathered { variants, mut others, attestations, .. } = gathered;
        if variants.is_empty() {
            return Err(Error::invalid(format!(
                "invalid archive: none of the images of the list {} is in it",
                list.blob.digest
            )));
        }
        for (about, blobs) in attestations {
            if variants.iter().any(|variant| variant.manifest.blob.digest == about) {
                others.extend(blobs);
            }
        }
        self.found.lists.push(FoundList { list, variants, others, names: Vec::from_iter(names) });
        Ok(())
    }

    fn gather(&mut self, list: &Spooled, gathered: &mut Gathered, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(Error::invalid("invalid archive: its indexes are nested too deep"));
        }
        // What is in a list once is in it, however often it leads there.
        if !gathered.lists.insert(list.digest) {
            return Ok(());
        }
        let shown = list.digest.to_string();
        let list: ImageIndex = decode(&shown, &self.content(list)?)?;
        self.count(&list)?;
        for entry in list.manifests() {
            let Some(blob) = self.present(entry)? else { continue };
            let described = Described { blob, media_type: entry.media_type().to_string() };
            let media_type = described.media_type.as_str();
            if LISTS.contains(&media_type) {
                self.gather(&described.blob, gathered, depth + 1)?;
                gathered.others.push(described);
            } else if !MANIFESTS.contains(&media_type) {
                // Something that is neither an image nor leads to one.
            } else if let Some(about) = attested(entry) {
                let manifest = self.manifest(entry)?;
                if let Some(parts) = self.parts(&manifest)? {
                    let all = std::iter::once(described).chain(parts).collect();
                    gathered.attestations.push((about, all));
                }
            } else if is_image(entry) {
                let manifest = self.manifest(entry)?;
                if self.parts(&manifest)?.is_some() {
                    let image = self.add_image(entry, &manifest)?;
                    let platform = self.platform(entry, image)?;
                    let variant = FoundVariant { platform, manifest: described, image };
                    gathered.variants.push(variant);
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, list: &ImageIndex) -> Result<()> {
        self.listed = self.listed.saturating_add(list.manifests().len());
        check_count(self.listed)
    }

    /// Adds an image, all of which is there.
    fn add_image(&mut self, entry: &Descriptor, manifest: &ImageManifest) -> Result<ImageId> {
        let config_type = manifest.config().media_type().to_string();
        if !CONFIGS.contains(&config_type.as_str()) {
            return Err(Error::unsupported(format!("an image with a {config_type}")));
        }
        let config = self.blob(manifest.config())?;
        self.allow(config.size)?;
        let layers: Result<Vec<_>> =
            manifest.layers().iter().map(|layer| self.blob(layer)).collect();
        let mut image = FoundImage::new(config, layers?, self.blobs)?;
        let media_type = entry.media_type().to_string();
        image.manifest = Some(Described { blob: self.blob(entry)?, media_type });
        let id = image.id();
        if !self.found.images.iter().any(|known| known.id() == id) {
            self.found.images.push(image);
        }
        Ok(id)
    }

    /// What an image of a list is for, as the list says, or it itself.
    fn platform(&self, entry: &Descriptor, image: ImageId) -> Result<Platform> {
        if let Some(said) = entry.platform() {
            let (os, architecture) = (said.os().to_string(), said.architecture().to_string());
            return Platform::of(&os, &architecture, said.variant().as_deref());
        }
        let image = self.found.images.iter().find(|known| known.id() == image);
        Ok(image.map_or_else(Platform::host, |image| image.parsed.platform()))
    }

    fn manifest(&mut self, entry: &Descriptor) -> Result<ImageManifest> {
        let blob = self.blob(entry)?;
        decode(entry.digest().as_ref(), &self.content(&blob)?)
    }

    fn content(&mut self, blob: &Spooled) -> Result<Vec<u8>> {
        self.allow(blob.size)?;
        blob.small(self.blobs)
    }

    /// The same may be listed again and again, and is read each time.
    fn allow(&mut self, bytes: u64) -> Result<()> {
        self.read = self.read.saturating_add(bytes);
        if self.read > MOST_READ {
            return Err(Error::invalid(
                "invalid archive: its manifests are too many and too large",
            ));
        }
        Ok(())
    }

    /// Configuration and layers of a manifest; none if one of them isn't there.
    fn parts(&self, manifest: &ImageManifest) -> Result<Option<Vec<Described>>> {
        let parts = std::iter::once(manifest.config()).chain(manifest.layers());
        let described = parts.map(|part| {
            let media_type = part.media_type().to_string();
            Ok(self.present(part)?.map(|blob| Described { blob, media_type }))
        });
        described.collect()
    }

    /// The blob that `entry` describes.
    fn blob(&self, entry: &Descriptor) -> Result<Spooled> {
        let found = self.present(entry)?;
        found.ok_or_else(|| {
            let digest = entry.digest();
            Error::invalid(format!("invalid archive: the blob {digest} is missing"))
        })
    }

    /// The blob that `entry` describes, found to be what it says, if it is there.
    fn present(&self, entry: &Descriptor) -> Result<Option<Spooled>> {
        let digest: Digest = entry.digest().to_string().parse()?;
        let Some(blob) = self.spool.get(&format!("blobs/sha256/{}", digest.hex())) else {
            return Ok(None);
        };
        if (blob.digest, blob.size) != (digest, entry.size()) {
            return Err(Error::invalid(format!(
                "invalid archive: the blob {digest} has {} bytes with the digest {}",
                blob.size, blob.digest
            )));
        }
        Ok(Some(blob.clone()))
    }
}

/// What an entry of `index.json` is called. A word that can't be a name is left aside.
fn name(entry: &Descriptor) -> Option<Reference> {
    let annotations = entry.annotations().as_ref()?;
    let name = annotations.get(NAME).or_else(|| annotations.get(REF_NAME))?;
    Reference::parse(name).ok().map(Reference::or_latest).filter(|name| name.digest().is_none())
}

fn decode<T: DeserializeOwned>(what: &str, content: &[u8]) -> Result<T> {
    serde_json::from_slice(content).map_err(|error| {
        Error::invalid(format!("invalid archive: failed to decode {what}: {error}"))
    })
}
