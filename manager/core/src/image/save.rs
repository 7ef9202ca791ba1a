//! `save`: images as an archive that docker, OCI tools and `load` read.
//!
//! Blobs go out as they came in; beside them stand docker's `manifest.json` and `repositories`
//! and OCI's `index.json`, which all describe the same images.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use tar::{EntryType, Header};

use super::catalog::Catalog;
use super::digest::{Digest, ImageId};
use super::image::{Blob, Image};
use super::manifest;
use super::reference::Reference;
use crate::error::{Error, Result};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image to be saved, and those of its names that were asked for.
type Chosen = BTreeMap<ImageId, (Arc<Image>, BTreeSet<Reference>)>;

impl Catalog {
    /// Writes the images that `names` name. A repository alone stands for all its tags.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for an unknown name, before anything is written.
    pub(super) fn save(&self, names: &[String], to: impl Write) -> Result<()> {
        let mut chosen = Chosen::new();
        for name in names {
            self.choose(name, &mut chosen)?;
        }
        let written = self.write_archive(&chosen, to);
        // What was removed while it was written.
        self.collect();
        written?;
        for id in chosen.keys() {
            self.tell("save", *id, &id.to_string());
        }
        Ok(())
    }

    fn choose(&self, name: &str, chosen: &mut Chosen) -> Result<()> {
        let index = self.read();
        let mut add = |image: Arc<Image>, name: Option<Reference>| {
            let entry = chosen.entry(image.id).or_insert_with(|| (image, BTreeSet::new()));
            entry.1.extend(name.filter(|name| name.tag().is_some()));
        };
        let reference = Reference::parse(name).ok();
        if let Some(repository) = reference.as_ref().filter(|name| name.is_name_only()) {
            let all = index.of_repository(repository);
            for (name, id) in &all {
                if let Some(image) = index.image(*id) {
                    add(image.shown(), Some(name.clone()));
                }
            }
            if !all.is_empty() {
                return Ok(());
            }
        }
        let image = index.resolve(name)?;
        let named = reference.filter(|name| index.named(name) == Some(image.id));
        add(image, named);
        Ok(())
    }

    fn write_archive(&self, chosen: &Chosen, to: impl Write) -> Result<()> {
        let mut archive =
            Writer { to: BufWriter::with_capacity(256 << 10, to), done: BTreeSet::new() };
        let mut manifests = Vec::new();
        let mut items = Vec::new();
        let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        archive.directory("blobs/")?;
        archive.directory("blobs/sha256/")?;
        for (image, names) in chosen.values() {
            let index = self.read();
            let Some(record) = index.image(image.id).map(|image| image.record.clone()) else {
                return Err(Error::not_found(format!("No such image: {}", image.id)));
            };
            let _blobs = self.blobs.hold(record.blobs().map(|blob| blob.digest));
            drop(index);
            for blob in record.blobs() {
                archive.blob(blob, self.blobs.read(blob.digest)?)?;
            }
            let manifest = match record.manifest {
                Some(manifest) => manifest,
                None => archive.manifest(image, &record.config)?,
            };
            manifests.extend(descriptors(&manifest, names));
            items.push(item(image, names));
            for name in names {
                if let (Some(tag), Some(top)) = (name.tag(), image.layers.last()) {
                    let tags = repositories.entry(name.familiar_name()).or_default();
                    tags.insert(tag.to_owned(), top.blob.digest.hex());
                }
            }
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        archive.json("index.json", &index)?;
        archive.json("manifest.json", &items)?;
        archive.json("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
        if !repositories.is_empty() {
            archive.json("repositories", &repositories)?;
        }
        archive.finish()
    }
}

/// One entry of `manifest.json`.
fn item(image: &Image, names: &BTreeSet<Reference>) -> serde_json::Value {
    let path = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
    let sources: BTreeMap<String, serde_json::Value> = image
        .layers
        .iter()
        .map(|layer| (layer.diff_id.to_string(), manifest::describe(&layer.blob)))
        .collect();
    json!({
        "Config": path(image.id.digest()),
        "RepoTags": names.iter().map(Reference::familiar).collect::<Vec<_>>(),
        "Layers": image.layers.iter().map(|layer| path(layer.blob.digest)).collect::<Vec<_>>(),
        "LayerSources": sources,
    })
}

/// The entries of `index.json` for one image: one for each name.
fn descriptors(described: &Blob, names: &BTreeSet<Reference>) -> Vec<serde_json::Value> {
    let plain = manifest::describe(described);
    if names.is_empty() {
        return vec![plain];
    }
    let named = names.iter().map(|name| {
        let mut entry = plain.clone();
        entry["annotations"] = json!({
            "io.containerd.image.name": name.to_string(),
            "org.opencontainers.image.ref.name": name.tag(),
        });
        entry
    });
    named.collect()
}

/// Writes a tar archive.
struct Writer<W: Write> {
    to: BufWriter<W>,
    /// Blobs that are in it already: images share layers.
    done: BTreeSet<Digest>,
}

impl<W: Write> Writer<W> {
    fn directory(&mut self, path: &str) -> Result<()> {
        self.header(path, EntryType::Directory, 0o755, 0)
    }

    fn blob(&mut self, blob: &Blob, content: impl Read) -> Result<()> {
        if !self.done.insert(blob.digest) {
            return Ok(());
        }
        let path = format!("blobs/sha256/{}", blob.digest.hex());
        self.header(&path, EntryType::Regular, 0o644, blob.size)?;
        let copied = io::copy(&mut content.take(blob.size), &mut self.to).map_err(failed)?;
        if copied != blob.size {
            return Err(Error::system(format!("the blob {} is cut off", blob.digest)));
        }
        self.pad(blob.size)
    }

    /// Makes a manifest for an image that came without one.
    fn manifest(&mut self, image: &Image, config: &Blob) -> Result<Blob> {
        let layers = image.layers.iter().map(|layer| &layer.blob);
        let content = manifest::of(config, layers)?;
        let blob = Blob {
            digest: Digest::of(&content),
            size: content.len() as u64,
            media_type: manifest::MEDIA_TYPE.to_owned(),
        };
        self.blob(&blob, content.as_slice())?;
        Ok(blob)
    }

    fn json(&mut self, path: &str, value: &impl Serialize) -> Result<()> {
        let content = encode(value)?;
        let size = content.len() as u64;
        self.header(path, EntryType::Regular, 0o644, size)?;
        self.to.write_all(&content).map_err(failed)?;
        self.pad(size)
    }

    fn header(&mut self, path: &str, kind: EntryType, mode: u32, size: u64) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path(path).map_err(failed)?;
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        // The same images make the same archive.
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.to.write_all(header.as_bytes()).map_err(failed)
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let zeros = [0; 512];
        let count = usize::try_from(size.wrapping_neg() % 512).unwrap_or_default();
        self.to.write_all(&zeros[..count]).map_err(failed)
    }

    fn finish(mut self) -> Result<()> {
        self.to.write_all(&[0; 1024]).map_err(failed)?;
        self.to.flush().map_err(failed)
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::system(format!("encode JSON: {error}")))
}

fn failed(error: io::Error) -> Error {
    Error::io("write the archive", error)
}
