//! `GET /distribution/{name}/json`: what a name stands for in its registry.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use tare_core::image::Reference;
use tare_core::registry::{Described, DescribedPlatform};

use crate::api::Api;
use crate::error::{Error, Result};
use crate::registry_auth::RegistryAuth;

/// A manifest and the platforms that it has images for.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Distribution {
    descriptor: Descriptor,
    platforms: Option<Vec<Platform>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: u64,
}

#[derive(Serialize)]
struct Platform {
    architecture: String,
    os: String,
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    os_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
}

pub(super) async fn handle(
    State(api): State<Api>,
    Path(path): Path<String>,
    RegistryAuth(credentials): RegistryAuth,
) -> Result<Json<Distribution>> {
    let Some((name, "json")) = path.rsplit_once('/') else {
        return Err(Error::page_not_found());
    };
    let name = Reference::parse(name)?.or_latest();
    let described = api.engine.images.registries().describe(&name, credentials).await?;
    Ok(Json(Distribution::from(described)))
}

impl From<Described> for Distribution {
    fn from(described: Described) -> Self {
        let platforms: Vec<Platform> =
            described.platforms.into_iter().map(Platform::from).collect();
        Self {
            descriptor: Descriptor {
                media_type: described.media_type,
                digest: described.digest.to_string(),
                size: described.size,
            },
            platforms: Some(platforms).filter(|platforms| !platforms.is_empty()),
        }
    }
}

impl From<DescribedPlatform> for Platform {
    fn from(platform: DescribedPlatform) -> Self {
        let DescribedPlatform { architecture, os, os_version, variant } = platform;
        Self { architecture, os, os_version, variant }
    }
}
