//! `GET /containers/{id}/json`: all about a container.

use std::path::Path;

use axum::Json;
use axum::extract;
use serde::Serialize;
use tare_core::container::{Container, State};

use super::graph_driver::GraphDriver;
use super::list::sizes;
use super::view::config::ConfigView;
use super::view::host_config::HostConfigView;
use super::view::mounts::MountView;
use super::view::networks::NetworkSettings;
use super::view::state::StateView;
use crate::api::Api;
use crate::error::Result;
use crate::query::Query;
use crate::time::rfc3339;
use crate::wire::null_if_empty;

/// A container.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspect {
    id: String,
    created: String,
    path: String,
    args: Vec<String>,
    state: StateView,
    image: String,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    log_path: String,
    name: String,
    restart_count: u32,
    driver: &'static str,
    platform: &'static str,
    mount_label: &'static str,
    process_label: &'static str,
    app_armor_profile: String,
    #[serde(rename = "ExecIDs", serialize_with = "null_if_empty")]
    exec_ids: Vec<String>,
    host_config: HostConfigView,
    graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: Vec<MountView>,
    config: ConfigView,
    network_settings: NetworkSettings,
}

pub(super) async fn handle(
    extract::State(api): extract::State<Api>,
    extract::Path(name): extract::Path<String>,
    query: Query,
) -> Result<Json<Inspect>> {
    let container = api.engine.containers.find(&name)?;
    whole(&api, &container, &query).await
}

/// `GET /containers/{parent}/{alias}/json`: the same by the name that another has for it.
pub(super) async fn handle_link(
    extract::State(api): extract::State<Api>,
    extract::Path((parent, alias)): extract::Path<(String, String)>,
    query: Query,
) -> Result<Json<Inspect>> {
    let container = api.engine.containers.find_linked(&parent, &alias)?;
    whole(&api, &container, &query).await
}

async fn whole(api: &Api, container: &Container, query: &Query) -> Result<Json<Inspect>> {
    let mut inspect = inspect(api, container);
    if query.flag("size") {
        let sizes = sizes(api, container).await;
        inspect.size_rw = Some(sizes.written);
        inspect.size_root_fs = Some(sizes.all);
    }
    Ok(Json(inspect))
}

fn inspect(api: &Api, container: &Container) -> Inspect {
    let id = container.id.as_str();
    // Docker makes these files for the first start.
    let is_new = matches!(container.state, State::Created { failure: None });
    let shown = |path: &Path| if is_new { String::new() } else { path.display().to_string() };
    let file = |name: &str| shown(&container.directory.join(name));
    let snapshots = api.engine.images.snapshots();
    // What can't be told of a container that is going is told as it would be of a new one.
    let (driver, directories) =
        snapshots.directories(id).unwrap_or_else(|_| (snapshots.driver(), None));
    Inspect {
        id: id.to_owned(),
        created: rfc3339(container.created),
        path: container.path.clone(),
        args: container.arguments.clone(),
        state: StateView::from(container),
        image: container.image_id.clone(),
        resolv_conf_path: file("resolv.conf"),
        hostname_path: file("hostname"),
        hosts_path: file("hosts"),
        log_path: container.log_path.as_deref().map(shown).unwrap_or_default(),
        name: format!("/{}", container.name),
        restart_count: container.restart_count,
        driver: driver.as_str(),
        platform: "linux",
        mount_label: "",
        process_label: "",
        app_armor_profile: app_armor_profile(&container.host.security_options),
        exec_ids: container.execs.clone(),
        host_config: HostConfigView::from(&container.host)
            .with_links(container, &api.engine.containers),
        graph_driver: GraphDriver::of_container(id, driver, directories.as_ref()),
        size_rw: None,
        size_root_fs: None,
        mounts: container.shown_mounts().map(MountView::from).collect(),
        config: ConfigView::from(container),
        network_settings: NetworkSettings::of(container, &api.engine.networks),
    }
}

/// The profile that is asked for by name, as docker shows it.
fn app_armor_profile(options: &[String]) -> String {
    let profile = |option: &String| {
        let rest = option.strip_prefix("apparmor")?;
        rest.strip_prefix(['=', ':']).map(str::to_owned)
    };
    options.iter().rev().find_map(profile).unwrap_or_default()
}
