//! A container in a list.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tare_core::container::Container;
use tare_core::network::Networks;

use super::status;
use super::view::mounts::MountView;
use super::view::networks::{EndpointView, network_name, networks};
use super::view::ports::{PortView, listed};

/// One container of `GET /containers/json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Summary {
    id: String,
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    command: String,
    created: i64,
    pub(super) ports: Vec<PortView>,
    #[serde(skip_serializing_if = "is_zero")]
    size_rw: u64,
    #[serde(skip_serializing_if = "is_zero")]
    size_root_fs: u64,
    labels: BTreeMap<String, String>,
    state: &'static str,
    status: String,
    host_config: HostConfigSummary,
    pub(super) network_settings: NetworkSummary,
    pub(super) mounts: Vec<MountView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfigSummary {
    network_mode: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkSummary {
    pub(super) networks: BTreeMap<String, EndpointView>,
}

/// What a container takes on disk; zero: not asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sizes {
    /// Bytes that it wrote.
    pub(super) written: u64,
    /// Bytes in all, with its image.
    pub(super) all: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Summary {
    /// The summary of `container`, whose image is now called `image`.
    pub(super) fn of(
        container: &Container,
        image: String,
        sizes: Sizes,
        known: &Networks,
        now: Timestamp,
    ) -> Self {
        let mode = &container.host.network_mode;
        Self {
            id: container.id.to_string(),
            names: vec![format!("/{}", container.name)],
            image,
            image_id: container.image_id.clone(),
            command: command(&container.path, &container.arguments),
            created: container.created.as_second(),
            ports: listed(container),
            size_rw: sizes.written,
            size_root_fs: sizes.all,
            labels: container.config.labels.clone(),
            state: container.state.status(),
            status: status::text(&container.state, container.health.as_ref(), now),
            host_config: HostConfigSummary {
                network_mode: network_name(mode).map_or_else(|| mode.to_string(), str::to_owned),
                annotations: container.host.annotations.clone(),
            },
            network_settings: NetworkSummary { networks: networks(container, known) },
            mounts: container.shown_mounts().map(MountView::from).collect(),
        }
    }
}

impl Summary {
    /// The same with more names.
    pub(super) fn also_called(mut self, names: impl Iterator<Item = String>) -> Self {
        self.names.extend(names);
        self
    }
}

/// The command line as `ps` shows it: words with a space in quotes.
fn command(path: &str, arguments: &[String]) -> String {
    let mut line = path.to_owned();
    for argument in arguments {
        let quote = if argument.contains(' ') { "'" } else { "" };
        line.push(' ');
        line.push_str(quote);
        line.push_str(argument);
        line.push_str(quote);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_spaces_are_quoted() {
        let arguments = ["-c".to_owned(), "echo hi".to_owned()];
        assert_eq!(command("sh", &arguments), "sh -c 'echo hi'");
        assert_eq!(command("sh", &[]), "sh");
    }
}
