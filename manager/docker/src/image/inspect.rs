//! `GET /images/{name}/json`: all about an image.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tare_core::image::{Defaults, Healthcheck, Image, Reference};

use super::manifests::{self, ManifestSummary};
use super::platform;
use crate::api::Api;
use crate::container::graph_driver::GraphDriver;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::time::{NEVER, rfc3339};
use crate::version::ApiVersion;
use crate::wire::{Set, null_if_empty, set};

/// An image.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspect {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    parent: String,
    comment: String,
    created: String,
    docker_version: String,
    author: String,
    architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    os: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_version: Option<String>,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
    graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    root_fs: RootFs,
    metadata: Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptor: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<Vec<ManifestSummary>>,
    config: Config,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    r#type: &'static str,
    layers: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    last_tag_time: String,
}

/// What a container does unless told otherwise.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    args_escaped: bool,
    cmd: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    #[serde(serialize_with = "null_if_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: Set,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
    #[serde(serialize_with = "null_if_empty")]
    labels: BTreeMap<String, String>,
    #[serde(serialize_with = "null_if_empty")]
    on_build: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
    user: String,
    #[serde(serialize_with = "null_if_empty")]
    volumes: Set,
    working_dir: String,
}

pub(super) fn handle(
    api: &Api,
    version: ApiVersion,
    name: &str,
    query: &Query,
) -> Result<Response> {
    let platform = platform::one(query, version, ApiVersion::new(1, 49))?;
    let wants_manifests = version >= ApiVersion::new(1, 48) && query.flag("manifests");
    if wants_manifests && platform.is_some() {
        return Err(Error::invalid(
            "conflicting options: manifests and platform options cannot both be set",
        ));
    }
    let image = api.engine.images.resolve_for(name, platform.as_ref())?;
    let manifests = wants_manifests.then(|| manifests::of(api, &image)).transpose()?;
    let snapshots = api.engine.images.snapshots();
    let (driver, directories) =
        snapshots.image_directories(&image).unwrap_or_else(|_| (snapshots.driver(), None));
    let graph_driver = GraphDriver::of_image(driver, directories.as_ref());
    let shown = Inspect { manifests, ..inspect(&image, graph_driver, version) };
    Ok(Json(shown).into_response())
}

fn inspect(image: &Image, graph_driver: GraphDriver, version: ApiVersion) -> Inspect {
    let config = &*image.config;
    let (digests, tags): (Vec<&Reference>, Vec<&Reference>) =
        image.all_names().partition(|name| name.tag().is_none());
    let familiar = |names: Vec<&Reference>| names.into_iter().map(Reference::familiar).collect();
    let target = image.target.as_ref().filter(|_| version >= ApiVersion::new(1, 48));
    let created = config.created.map(rfc3339);
    Inspect {
        id: image.id.to_string(),
        repo_tags: familiar(tags),
        repo_digests: familiar(digests),
        parent: image.parent.map_or_else(String::new, |parent| parent.to_string()),
        comment: config.comment.clone(),
        created: created.unwrap_or_else(|| NEVER.to_owned()),
        docker_version: config.docker_version.clone(),
        author: config.author.clone(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: "linux",
        os_version: config.os_version.clone(),
        size: image.size,
        virtual_size: (version < ApiVersion::new(1, 44)).then_some(image.size),
        graph_driver,
        root_fs: RootFs {
            r#type: "layers",
            layers: image.layers.iter().map(|layer| layer.diff_id.to_string()).collect(),
        },
        metadata: Metadata {
            last_tag_time: image.tagged_at.map_or_else(|| NEVER.to_owned(), rfc3339),
        },
        descriptor: target.map(manifests::descriptor),
        manifests: None,
        config: Config::from(&config.defaults),
    }
}

impl From<&Defaults> for Config {
    fn from(defaults: &Defaults) -> Self {
        let defaults = defaults.clone();
        Self {
            args_escaped: defaults.args_escaped,
            cmd: defaults.cmd,
            entrypoint: defaults.entrypoint,
            env: defaults.env,
            exposed_ports: set(defaults.exposed_ports),
            healthcheck: defaults.healthcheck,
            labels: defaults.labels,
            on_build: defaults.on_build,
            shell: defaults.shell,
            stop_signal: defaults.stop_signal,
            user: defaults.user,
            volumes: set(defaults.volumes),
            working_dir: defaults.working_dir,
        }
    }
}
