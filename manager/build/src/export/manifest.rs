//! Manifests of images, and lists of those for several platforms.

use serde_json::{Map, Value, json};
use tare_core::image::{Blob, Digest};
use tare_dockerfile::platform::Platform;

use super::annotations::{Annotations, Place};
use crate::error::{Error, Result};

/// Whose types are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Types {
    Oci,
    Docker,
}

/// A document, and what it is.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) content: Vec<u8>,
    pub(super) blob: Blob,
}

impl Document {
    fn of(value: &Value, media_type: &str) -> Result<Self> {
        let failed = |error| Error::system(format!("encode a manifest: {error}"));
        let content = serde_json::to_vec(value).map_err(failed)?;
        let blob = Blob {
            digest: Digest::of(&content),
            size: content.len() as u64,
            media_type: media_type.to_owned(),
        };
        Ok(Self { content, blob })
    }
}

impl Types {
    fn manifest(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.config.v1+json",
            Self::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    fn list(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.index.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// The type of a layer, which is known by OCI's.
    fn layer(self, media_type: &str) -> String {
        let docker = match media_type.strip_prefix("application/vnd.oci.image.layer.v1.tar") {
            Some("") => "application/vnd.docker.image.rootfs.diff.tar",
            Some("+gzip") => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Some("+zstd") => "application/vnd.docker.image.rootfs.diff.tar.zstd",
            _ => media_type,
        };
        if self == Self::Docker { docker } else { media_type }.to_owned()
    }
}

/// The manifest of an image with this configuration and these layers.
pub(super) fn manifest<'a>(
    config: &[u8],
    layers: impl IntoIterator<Item = &'a Blob>,
    types: Types,
    annotations: &Annotations,
    platform: &Platform,
) -> Result<Document> {
    let config = Blob {
        digest: Digest::of(config),
        size: config.len() as u64,
        media_type: types.config().to_owned(),
    };
    let layers = layers.into_iter().map(|layer| {
        describe(&Blob { media_type: types.layer(&layer.media_type), ..layer.clone() })
    });
    let mut value = json!({
        "schemaVersion": 2,
        "mediaType": types.manifest(),
        "config": describe(&config),
        "layers": layers.collect::<Vec<_>>(),
    });
    annotate(&mut value, annotations.of(Place::Manifest, &platform.to_string()));
    Document::of(&value, types.manifest())
}

/// The list of these manifests, each for a platform.
pub(super) fn list<'a>(
    manifests: impl IntoIterator<Item = (&'a Platform, &'a Blob)>,
    types: Types,
    annotations: &Annotations,
) -> Result<Document> {
    let manifests = manifests.into_iter().map(|(platform, manifest)| {
        let mut value = describe(manifest);
        value["platform"] = described(platform);
        annotate(&mut value, annotations.of(Place::ManifestDescriptor, &platform.to_string()));
        value
    });
    let mut value = json!({
        "schemaVersion": 2,
        "mediaType": types.list(),
        "manifests": manifests.collect::<Vec<_>>(),
    });
    annotate(&mut value, annotations.of(Place::Index, ""));
    Document::of(&value, types.list())
}

/// The manifest of something that is no image: what describes it, and its blobs.
pub(super) fn of_blobs(config: &Blob, layers: &[Blob]) -> Result<Document> {
    let value = json!({
        "schemaVersion": 2,
        "mediaType": Types::Oci.manifest(),
        "config": describe(config),
        "layers": layers.iter().map(describe).collect::<Vec<_>>(),
    });
    Document::of(&value, Types::Oci.manifest())
}

/// The same as a list, as older builders write it.
pub(super) fn list_of_blobs(blobs: &[Blob], types: Types) -> Result<Document> {
    let value = json!({
        "schemaVersion": 2,
        "mediaType": types.list(),
        "manifests": blobs.iter().map(describe).collect::<Vec<_>>(),
    });
    Document::of(&value, types.list())
}

/// A blob as manifests describe it.
pub(super) fn describe(blob: &Blob) -> Value {
    json!({
        "mediaType": blob.media_type,
        "digest": blob.digest.to_string(),
        "size": blob.size,
    })
}

pub(super) fn annotate(value: &mut Value, annotations: Option<Map<String, Value>>) {
    if let Some(annotations) = annotations {
        value["annotations"] = Value::Object(annotations);
    }
}

fn described(platform: &Platform) -> Value {
    let mut value = json!({ "architecture": platform.architecture, "os": platform.os });
    for (name, part) in [("variant", &platform.variant), ("os.version", &platform.os_version)] {
        if !part.is_empty() {
            value[name] = Value::String(part.clone());
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_ocis_or_dockers() {
        let layer = Blob {
            digest: Digest::of(b"x"),
            size: 1,
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
        };
        let platform = Platform::new("linux", "arm64", "v8");
        let mut annotations = Annotations::default();
        annotations.take("annotation.a", "b").unwrap();
        let made = |types| {
            let manifest = manifest(b"{}", [&layer], types, &annotations, &platform).unwrap();
            let list = list([(&platform, &manifest.blob)], types, &annotations).unwrap();
            let read = |document: &Document| -> Value {
                serde_json::from_slice(&document.content).unwrap()
            };
            (read(&manifest), read(&list))
        };
        let (manifest, list) = made(Types::Docker);
        assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
        let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        assert_eq!(manifest["layers"][0]["mediaType"], gzip);
        assert_eq!(manifest["annotations"]["a"], "b");
        assert_eq!(list["manifests"][0]["platform"]["architecture"], "arm64");
        let (manifest, list) = made(Types::Oci);
        assert_eq!(manifest["layers"][0]["mediaType"], layer.media_type);
        assert_eq!(list["mediaType"], "application/vnd.oci.image.index.v1+json");
        assert!(list.get("annotations").is_none());
    }
}
