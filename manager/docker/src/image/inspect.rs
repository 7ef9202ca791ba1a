//! `GET /images/{name}/json`: all about an image.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
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
    descriptor: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<Vec<ManifestSummary>>,
    config: Config,
    #[serde(flatten)]
    legacy: Option<OfContainer>,
}

/// The container that docker's own builder made the image of, as the image says; for clients of
/// versions before 1.45.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OfContainer {
    #[serde(skip_serializing_if = "String::is_empty")]
    container: String,
    container_config: Map<String, Value>,
}

impl OfContainer {
    fn of(configuration: &Value) -> Self {
        let mut container_config = of_no_container();
        container_config.extend([
            ("Cmd".to_owned(), Value::Null),
            ("Entrypoint".to_owned(), Value::Null),
            ("Env".to_owned(), Value::Null),
            ("Labels".to_owned(), Value::Null),
            ("OnBuild".to_owned(), Value::Null),
            ("User".to_owned(), "".into()),
            ("Volumes".to_owned(), Value::Null),
            ("WorkingDir".to_owned(), "".into()),
        ]);
        let said = configuration["container_config"].as_object();
        container_config.extend(said.cloned().unwrap_or_default());
        let container = configuration["container"].as_str().unwrap_or_default().to_owned();
        Self { container, container_config }
    }
}

/// What a container's configuration has and an image's has not.
fn of_no_container() -> Map<String, Value> {
    let texts = ["Domainname", "Hostname", "Image"].map(|name| (name.to_owned(), "".into()));
    let flags = ["AttachStderr", "AttachStdin", "AttachStdout", "OpenStdin", "StdinOnce", "Tty"];
    texts.into_iter().chain(flags.map(|name| (name.to_owned(), false.into()))).collect()
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
    /// For clients of versions before 1.50.
    #[serde(flatten)]
    of_no_container: Map<String, Value>,
}

pub(super) async fn handle(
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
    let manifests = match wants_manifests {
        true => manifests::of(api, vec![Arc::clone(&image)]).await?.pop(),
        false => None,
    };
    let legacy = match version < ApiVersion::new(1, 45) {
        // It only repeats what is known of the image; a disk that doesn't give it is no reason not
        // to say that.
        true => {
            let configuration = api.engine.images.configuration(image.id).await;
            Some(OfContainer::of(&configuration.unwrap_or_default()))
        }
        false => None,
    };
    let snapshots = api.engine.images.snapshots();
    let (driver, directories) =
        snapshots.image_directories(&image).unwrap_or_else(|_| (snapshots.driver(), None));
    let graph_driver = GraphDriver::of_image(driver, directories.as_ref());
    let shown = Inspect { manifests, legacy, ..inspect(&image, graph_driver, version) };
    Ok(Json(shown).into_response())
}

fn inspect(image: &Image, graph_driver: GraphDriver, version: ApiVersion) -> Inspect {
    let config = &*image.config;
    let (digests, tags): (Vec<&Reference>, Vec<&Reference>) =
        image.all_names().partition(|name| name.tag().is_none());
    let familiar = |names: Vec<&Reference>| names.into_iter().map(Reference::familiar).collect();
    let target = image.target.as_ref().filter(|_| version >= ApiVersion::new(1, 48));
    let created = config.created.map(rfc3339);
    // What is not known was shown as this by versions before 1.44.
    let created = created.or_else(|| (version < ApiVersion::new(1, 44)).then(|| NEVER.to_owned()));
    // What was said of a step is said of the image.
    let comment = Some(&config.comment).filter(|comment| !comment.is_empty());
    let comment = comment.or(config.history.last().map(|step| &step.comment));
    Inspect {
        id: image.id.to_string(),
        repo_tags: familiar(tags),
        repo_digests: familiar(digests),
        parent: image.parent.map_or_else(String::new, |parent| parent.to_string()),
        comment: comment.cloned().unwrap_or_default(),
        created,
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
        config: Config::of(&config.defaults, version),
        legacy: None,
    }
}

impl Config {
    fn of(defaults: &Defaults, version: ApiVersion) -> Self {
        let defaults = defaults.clone();
        let is_old = version < ApiVersion::new(1, 50);
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
            of_no_container: if is_old { of_no_container() } else { Map::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(minor: u32) -> Value {
        let defaults = Defaults { user: "7".to_owned(), ..Defaults::default() };
        serde_json::to_value(Config::of(&defaults, ApiVersion::new(1, minor))).unwrap()
    }

    #[test]
    fn old_clients_see_what_a_container_has() {
        assert_eq!(config(49)["Hostname"], "");
        assert_eq!(config(49)["AttachStdin"], false);
        assert_eq!(config(50).get("Hostname"), None);
        for minor in [49, 50] {
            assert_eq!(
                (&config(minor)["User"], &config(minor)["Cmd"]),
                (&json!("7"), &Value::Null)
            );
        }
    }

    #[test]
    fn the_container_of_an_old_builder_is_shown_as_the_image_says() {
        let configuration = json!({
            "container": "0123", "container_config": { "Hostname": "h", "Cmd": ["x"] },
        });
        let shown = serde_json::to_value(OfContainer::of(&configuration)).unwrap();
        assert_eq!(shown["Container"], "0123");
        assert_eq!(shown["ContainerConfig"]["Hostname"], "h");
        assert_eq!(shown["ContainerConfig"]["Cmd"], json!(["x"]));
        assert_eq!(shown["ContainerConfig"]["Tty"], false);
        let shown = serde_json::to_value(OfContainer::of(&json!({}))).unwrap();
        assert_eq!(shown.get("Container"), None);
        assert_eq!(shown["ContainerConfig"]["Env"], Value::Null);
    }
}
