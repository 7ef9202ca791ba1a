//! What an archive says of the images in it, in docker's words and in OCI's.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::chosen::ChosenImage;
use crate::error::{Error, Result};
use crate::image::digest::{Digest, ImageId};
use crate::image::image::Blob;
use crate::image::manifest;
use crate::image::reference::Reference;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The description, as far as it is there.
#[derive(Default)]
pub(super) struct Description {
    items: Vec<Item>,
    manifests: Vec<Value>,
    /// The uppermost layer by repository and tag.
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

/// One image of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<ImageId>,
    layer_sources: BTreeMap<String, Value>,
}

impl Description {
    /// Adds an image, unless it is only another platform's.
    pub(super) fn add_item(&mut self, image: &ChosenImage) {
        if image.alone.is_none() && image.meant.is_empty() {
            return;
        }
        let names: BTreeSet<&Reference> =
            image.alone.iter().flatten().chain(&image.meant).collect();
        self.items.push(item(image, &names));
        for name in names {
            if let (Some(tag), Some(top)) = (name.tag(), image.record.layers.last()) {
                let tags = self.repositories.entry(name.familiar_name()).or_default();
                tags.insert(tag.to_owned(), top.blob.digest.hex());
            }
        }
    }

    /// Adds a manifest or list: one entry of the index for each of its names.
    pub(super) fn add_entry(&mut self, described: &Blob, names: &BTreeSet<Reference>) {
        let plain = manifest::describe(described);
        if names.is_empty() {
            self.manifests.push(plain);
            return;
        }
        for name in names {
            let mut entry = plain.clone();
            entry["annotations"] = json!({
                "io.containerd.image.name": name.to_string(),
                "org.opencontainers.image.ref.name": name.tag(),
            });
            self.manifests.push(entry);
        }
    }

    /// The files that say it, by name.
    pub(super) fn files(mut self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let saved: BTreeSet<String> = self.items.iter().map(|item| item.config.clone()).collect();
        for item in &mut self.items {
            item.parent = item.parent.filter(|parent| saved.contains(&path(parent.digest())));
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests });
        let mut files = vec![
            ("index.json", encode(&index)?),
            ("manifest.json", encode(&self.items)?),
            ("oci-layout", encode(&json!({ "imageLayoutVersion": "1.0.0" }))?),
        ];
        if !self.repositories.is_empty() {
            files.push(("repositories", encode(&self.repositories)?));
        }
        Ok(files)
    }
}

/// Where a blob is in the archive.
pub(super) fn path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn item(image: &ChosenImage, names: &BTreeSet<&Reference>) -> Item {
    let layers = &image.record.layers;
    let sources =
        layers.iter().map(|layer| (layer.diff_id.to_string(), manifest::describe(&layer.blob)));
    let tags: Vec<String> = names.iter().map(|name| name.familiar()).collect();
    Item {
        config: path(image.record.config.digest),
        repo_tags: Some(tags).filter(|tags| !tags.is_empty()),
        layers: layers.iter().map(|layer| path(layer.blob.digest)).collect(),
        parent: image.record.parent,
        layer_sources: sources.collect(),
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::system(format!("encode JSON: {error}")))
}
