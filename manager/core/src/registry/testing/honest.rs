//! What an honest registry answers to whoever reads.

use std::collections::HashMap;
use std::io::Write;

use serde_json::{Value, json};

use super::{Asked, Reply};
use crate::image::Digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// The content of a registry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Honest {
    pub(crate) blobs: HashMap<Digest, Vec<u8>>,
    /// By tag or digest: media type and content.
    pub(crate) manifests: HashMap<String, (String, Vec<u8>)>,
}

impl Honest {
    /// Adds an image for this machine with these layers, each a tar; gives its manifest's digest.
    pub(crate) fn image(&mut self, tag: &str, layers: &[Vec<u8>]) -> Digest {
        let packed: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
        self.packed_image(tag, layers, &packed)
    }

    /// The same with the blobs of the layers as they are.
    pub(crate) fn packed_image(
        &mut self,
        tag: &str,
        layers: &[Vec<u8>],
        packed: &[Vec<u8>],
    ) -> Digest {
        self.image_for("amd64", tag, layers, packed)
    }

    fn image_for(
        &mut self,
        architecture: &str,
        tag: &str,
        layers: &[Vec<u8>],
        packed: &[Vec<u8>],
    ) -> Digest {
        let diff_ids: Vec<String> =
            layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": { "Cmd": [tag] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.blob(config.to_string().into_bytes(), CONFIG);
        let layers: Vec<Value> = packed.iter().map(|blob| self.blob(blob.clone(), GZIP)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        self.manifest(tag, MANIFEST, &manifest)
    }

    /// Adds an image for each of these processors, with one layer and an attestation each, and the
    /// list of them all under a tag; gives the list's digest.
    pub(crate) fn list(&mut self, tag: &str, architectures: &[(&str, Vec<u8>)]) -> Digest {
        let mut entries = Vec::new();
        for (architecture, layer) in architectures {
            let packed = gzip(layer);
            let image =
                self.image_for(architecture, architecture, std::slice::from_ref(layer), &[packed]);
            let platform = json!({ "os": "linux", "architecture": architecture });
            entries.push(self.entry(image, &json!({ "platform": platform })));
            let attestation = self.attestation(image);
            let rest = json!({
                "platform": { "os": "unknown", "architecture": "unknown" },
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": image.to_string(),
                },
            });
            entries.push(self.entry(attestation, &rest));
        }
        let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        self.manifest(tag, INDEX, &list)
    }

    fn attestation(&mut self, of: Digest) -> Digest {
        let config = self.blob(format!("{{\"of\":\"{of}\"}}").into_bytes(), CONFIG);
        let statement = self.blob(format!("{{\"subject\":\"{of}\"}}").into_bytes(), IN_TOTO);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [statement],
        });
        self.manifest(&format!("attestation-{}", of.hex()), MANIFEST, &manifest)
    }

    /// The entry of a list for a manifest that is here.
    fn entry(&self, digest: Digest, rest: &Value) -> Value {
        let (media_type, content) = &self.manifests[&digest.to_string()];
        let mut entry = json!({
            "mediaType": media_type, "digest": digest.to_string(), "size": content.len(),
        });
        for (key, value) in rest.as_object().unwrap() {
            entry[key] = value.clone();
        }
        entry
    }

    /// Adds a manifest under its tag and its digest.
    pub(crate) fn manifest(&mut self, tag: &str, media_type: &str, content: &Value) -> Digest {
        let content = content.to_string().into_bytes();
        let digest = Digest::of(&content);
        for name in [tag.to_owned(), digest.to_string()] {
            self.manifests.insert(name, (media_type.to_owned(), content.clone()));
        }
        digest
    }

    /// Adds a blob and describes it.
    pub(crate) fn blob(&mut self, content: Vec<u8>, media_type: &str) -> Value {
        let (digest, size) = (Digest::of(&content), content.len());
        self.blobs.insert(digest, content);
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size })
    }

    /// What an honest registry answers.
    pub(crate) fn answer(&self, asked: &Asked) -> Reply {
        let path = asked.path.split('?').next().unwrap_or_default();
        if path == "/v2/" {
            return Reply::new(200, "{}");
        }
        let (rest, name) = path.rsplit_once('/').unwrap_or_default();
        if rest.ends_with("/manifests") {
            return match self.manifests.get(name) {
                Some((media_type, content)) => Reply::new(200, content.clone())
                    .with("content-type", media_type)
                    .with("docker-content-digest", Digest::of(content).to_string()),
                None => Reply::error(404, "MANIFEST_UNKNOWN"),
            };
        }
        if path.ends_with("/tags/list") {
            let tags: Vec<&String> =
                self.manifests.keys().filter(|name| !name.contains(':')).collect();
            return Reply::new(200, json!({ "tags": tags }).to_string());
        }
        let blob = name.parse().ok().and_then(|digest: Digest| self.blobs.get(&digest));
        match blob {
            None => Reply::error(404, "BLOB_UNKNOWN"),
            Some(blob) => part(asked, blob),
        }
    }
}

/// A blob, or the part of it that is asked for.
fn part(asked: &Asked, blob: &[u8]) -> Reply {
    let range = asked.header("range").and_then(|range| range.strip_prefix("bytes="));
    let start = range.and_then(|range| range.strip_suffix('-')?.parse::<usize>().ok());
    match start {
        None => Reply::new(200, blob),
        Some(start) => Reply::new(206, &blob[start..])
            .with("content-range", format!("bytes {start}-{}/{}", blob.len() - 1, blob.len())),
    }
}

/// Compresses by gzip.
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}
