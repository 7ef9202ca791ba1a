//! The manifest of an image that came without one.

use serde_json::{Value, json};

use super::image::Blob;
use crate::error::{Error, Result};

/// Its media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The manifest of an image with this configuration and these layers, lowest first.
pub(super) fn of<'a>(config: &Blob, layers: impl Iterator<Item = &'a Blob>) -> Result<Vec<u8>> {
    let layers: Vec<Value> = layers.map(describe).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MEDIA_TYPE, "config": describe(config), "layers": layers,
    });
    serde_json::to_vec(&manifest)
        .map_err(|error| Error::system(format!("encode the manifest: {error}")))
}

/// A blob as a manifest describes it.
pub(super) fn describe(blob: &Blob) -> Value {
    json!({
        "mediaType": blob.media_type,
        "digest": blob.digest.to_string(),
        "size": blob.size,
    })
}
