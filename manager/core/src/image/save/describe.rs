//! What an archive says of the images in it, in docker's words and in OCI's.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::chosen::Chosen;
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
    /// Adds an image with its manifest.
    pub(super) fn add(&mut self, chosen: &Chosen, manifest: &Blob) {
        self.items.push(item(chosen));
        self.manifests.extend(descriptors(manifest, chosen));
        for name in &chosen.names {
            if let (Some(tag), Some(top)) = (name.tag(), chosen.record.layers.last()) {
                let tags = self.repositories.entry(name.familiar_name()).or_default();
                tags.insert(tag.to_owned(), top.blob.digest.hex());
            }
        }
    }

    /// The files that say it, by name.
    pub(super) fn files(mut self, all: &[Chosen]) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let is_saved = |id: &ImageId| all.iter().any(|chosen| chosen.record.id() == *id);
        for item in &mut self.items {
            item.parent = item.parent.filter(is_saved);
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

fn item(chosen: &Chosen) -> Item {
    let layers = &chosen.record.layers;
    let sources =
        layers.iter().map(|layer| (layer.diff_id.to_string(), manifest::describe(&layer.blob)));
    let tags: Vec<String> = chosen.names.iter().map(Reference::familiar).collect();
    Item {
        config: path(chosen.record.config.digest),
        repo_tags: Some(tags).filter(|tags| !tags.is_empty()),
        layers: layers.iter().map(|layer| path(layer.blob.digest)).collect(),
        parent: chosen.record.parent,
        layer_sources: sources.collect(),
    }
}

/// The entries of `index.json` for one image: one for each name.
fn descriptors(manifest: &Blob, chosen: &Chosen) -> Vec<Value> {
    let plain = manifest::describe(manifest);
    if chosen.names.is_empty() {
        return vec![plain];
    }
    let named = chosen.names.iter().map(|name| {
        let mut entry = plain.clone();
        entry["annotations"] = json!({
            "io.containerd.image.name": name.to_string(),
            "org.opencontainers.image.ref.name": name.tag(),
        });
        entry
    });
    named.collect()
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::system(format!("encode JSON: {error}")))
}
