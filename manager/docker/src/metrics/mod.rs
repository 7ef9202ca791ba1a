//! `GET /metrics`, on an address of its own: numbers for monitoring, in Prometheus's text format and
//! under docker's names.

mod process;
mod text;
mod timers;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::routing::get;
use tare_core::container::State as ContainerState;
use tare_core::host::{System, manager_id};

use crate::api::Api;
use crate::error::Error;
use crate::system::VERSION;
use text::{Kind, Text};

pub(crate) use timers::{Timers, timed};

/// The version of the format.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The one endpoint.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/metrics", get(handle))
        .fallback(async || Error::page_not_found())
        .with_state(api)
}

async fn handle(State(api): State<Api>) -> ([(HeaderName, &'static str); 1], String) {
    let mut text = Text::default();
    api.timers.write(&mut text);
    engine(&api, &mut text);
    containers(&api, &mut text);
    events(&api, &mut text);
    process::write(&mut text);
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text.finish())
}

/// The manager and its host.
fn engine(api: &Api, text: &mut Text) {
    let (system, config) = (System::read(), &api.engine.config);
    text.begin(
        "engine_daemon_engine_info",
        Kind::Gauge,
        "The information related to the engine and the OS it is running on",
    );
    let labels = [
        ("architecture", system.architecture.kernel_name().to_owned()),
        ("commit", String::new()),
        ("daemon_id", manager_id(&config.data_root)),
        ("graphdriver", api.engine.images.snapshots().driver().as_str().to_owned()),
        ("kernel", system.kernel),
        ("os", system.distribution),
        ("os_type", "linux".to_owned()),
        ("os_version", system.distribution_version),
        ("version", VERSION.to_owned()),
    ];
    text.value(&labels, 1);
    text.begin(
        "engine_daemon_engine_cpus_cpus",
        Kind::Gauge,
        "The number of cpus that the host system of the engine has",
    );
    text.value(&[], system.processors);
    text.begin(
        "engine_daemon_engine_memory_bytes",
        Kind::Gauge,
        "The number of bytes of memory that the host system of the engine has",
    );
    text.value(&[], system.memory);
}

/// How many containers are in which state; docker knows three.
fn containers(api: &Api, text: &mut Text) {
    let (mut running, mut paused, mut stopped) = (0, 0, 0);
    for container in api.engine.containers.list() {
        match container.state {
            ContainerState::Running(_) => running += 1,
            ContainerState::Paused(_) => paused += 1,
            ContainerState::Created { .. }
            | ContainerState::Restarting(_)
            | ContainerState::Exited(_)
            | ContainerState::Removing { .. }
            | ContainerState::Dead { .. } => stopped += 1,
        }
    }
    text.begin(
        "engine_daemon_container_states_containers",
        Kind::Gauge,
        "The count of containers in various states",
    );
    for (state, count) in [("paused", paused), ("running", running), ("stopped", stopped)] {
        text.value(&[("state", state.to_owned())], count);
    }
}

fn events(api: &Api, text: &mut Text) {
    let events = &api.engine.events;
    text.begin("engine_daemon_events_total", Kind::Counter, "The number of events logged");
    text.value(&[], events.count());
    text.begin(
        "engine_daemon_events_subscribers_total",
        Kind::Gauge,
        "The number of current subscribers to events",
    );
    text.value(&[], events.listeners());
}
