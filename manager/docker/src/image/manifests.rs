//! The manifests of an image, as lists and inspections show them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tare_core::container::Container;
use tare_core::image::{Blob, Image, ListedKind, ListedManifest};

use crate::api::Api;
use crate::error::Result;

/// A manifest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ManifestSummary {
    #[serde(rename = "ID")]
    id: String,
    descriptor: Value,
    available: bool,
    size: Size,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_data: Option<ImageData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attestation_data: Option<AttestationData>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    content: u64,
    total: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ImageData {
    platform: Value,
    containers: Vec<String>,
    size: Unpacked,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Unpacked {
    unpacked: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttestationData {
    r#for: String,
}

/// What the names of each of these images stand for.
pub(super) async fn of(api: &Api, images: Vec<Arc<Image>>) -> Result<Vec<Vec<ManifestSummary>>> {
    let all = api.engine.images.manifests(images).await?;
    let containers = api.engine.containers.list();
    let summaries = |manifests: Vec<ListedManifest>| {
        manifests.into_iter().map(|manifest| summary(&containers, manifest)).collect()
    };
    Ok(all.into_iter().map(summaries).collect())
}

/// A blob as a descriptor.
pub(super) fn descriptor(blob: &Blob) -> Value {
    json!({
        "mediaType": blob.media_type,
        "digest": blob.digest.to_string(),
        "size": blob.size,
    })
}

fn summary(containers: &[Arc<Container>], manifest: ListedManifest) -> ManifestSummary {
    let ListedManifest { digest, descriptor, available, content, kind } = manifest;
    let mut summary = ManifestSummary {
        id: digest.to_string(),
        descriptor,
        available,
        size: Size { content, total: content },
        kind: "unknown",
        image_data: None,
        attestation_data: None,
    };
    match kind {
        ListedKind::Image { platform, image, unpacked } => {
            let image = image.map(|image| image.to_string());
            let using =
                containers.iter().filter(|container| Some(&container.image_id) == image.as_ref());
            let containers = using.map(|container| container.id.to_string()).collect();
            summary.kind = "image";
            summary.size.total += unpacked;
            summary.image_data =
                Some(ImageData { platform, containers, size: Unpacked { unpacked } });
        }
        ListedKind::Attestation { of } => {
            summary.kind = "attestation";
            summary.attestation_data = Some(AttestationData { r#for: of.to_string() });
        }
        ListedKind::Unknown => {}
    }
    summary
}
