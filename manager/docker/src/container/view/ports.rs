//! Ports: where each is published on the host.

use std::collections::BTreeMap;

use serde::Serialize;
use tare_core::container::{Container, Port, PortBinding, Protocol};
use tare_core::network::{self, Endpoint, PublishedPort};

/// A place on the host, in `PortBindings` and `NetworkSettings.Ports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::container) struct Binding {
    host_ip: String,
    host_port: String,
}

/// A port in a list of containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PortView {
    #[serde(rename = "IP", skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    private_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_port: Option<u16>,
    r#type: String,
}

/// Places by port; none: exposed but not published.
pub(in crate::container) type Bindings = BTreeMap<String, Option<Vec<Binding>>>;

/// What was asked for: `HostConfig.PortBindings`.
pub(in crate::container) fn wished(bindings: &BTreeMap<Port, Vec<PortBinding>>) -> Bindings {
    let one = |binding: &PortBinding| Binding {
        host_ip: binding.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        host_port: binding.host_port.to_string(),
    };
    let list = |list: &Vec<PortBinding>| Some(list.iter().map(one).collect());
    bindings.iter().map(|(port, places)| (port.to_string(), list(places))).collect()
}

/// What is there while a container runs on a network of its own: `NetworkSettings.Ports`.
pub(in crate::container) fn present(container: &Container) -> Bindings {
    let one = |place: &PublishedPort| Binding {
        host_ip: place.host_ip.to_string(),
        host_port: of_host(place).map(|port| port.to_string()).unwrap_or_default(),
    };
    let places =
        |list: Vec<&PublishedPort>| (!list.is_empty()).then(|| list.into_iter().map(one).collect());
    let ports = published(container).into_iter();
    ports.map(|(port, list)| (port.to_string(), places(list))).collect()
}

/// The same for a list of containers.
pub(in crate::container) fn listed(container: &Container) -> Vec<PortView> {
    let mut list = Vec::new();
    for (port, places) in published(container) {
        let r#type = port.protocol.to_string();
        let private = PortView { ip: None, private_port: port.number, public_port: None, r#type };
        if places.is_empty() {
            list.push(private);
            continue;
        }
        list.extend(places.into_iter().map(|place| PortView {
            ip: Some(place.host_ip.to_string()),
            public_port: of_host(place),
            ..private.clone()
        }));
    }
    list
}

impl PortView {
    /// Whether it is published at this port, written `80/tcp`, of the host.
    pub(in crate::container) fn is_published_at(&self, port: &Port) -> bool {
        self.public_port == Some(port.number) && self.r#type == port.protocol.to_string()
    }

    /// Whether it is this port of the container.
    pub(in crate::container) fn is(&self, port: &Port) -> bool {
        self.private_port == port.number && self.r#type == port.protocol.to_string()
    }
}

/// The host's port; none where a container is reached at its own address alone.
fn of_host(place: &PublishedPort) -> Option<u16> {
    Some(place.host_port).filter(|port| *port != 0)
}

/// The ports that a running container exposes, each with where it is published.
fn published(container: &Container) -> BTreeMap<Port, Vec<&PublishedPort>> {
    let Some(network) = container.network.as_ref().filter(|_| container.state.is_running()) else {
        return BTreeMap::new();
    };
    if !network.endpoints.iter().any(Endpoint::is_behind_host) {
        return BTreeMap::new();
    }
    let exposed = container.config.exposed_ports.iter();
    let mut ports: BTreeMap<_, _> = exposed.map(|port| (*port, Vec::new())).collect();
    for place in network.published() {
        let protocol = match place.protocol {
            network::Protocol::Tcp => Protocol::Tcp,
            network::Protocol::Udp => Protocol::Udp,
            network::Protocol::Sctp => Protocol::Sctp,
        };
        let port = Port { number: place.container_port, protocol };
        ports.entry(port).or_default().push(place);
    }
    ports
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tare_core::container::State;

    use super::super::fixture::running;
    use super::*;

    #[test]
    fn ports_are_shown_where_they_are_published() {
        let container = running();
        let expected = json!({
            "443/tcp": null,
            "80/tcp": [
                {"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "127.0.0.1", "HostPort": "9090"},
            ],
        });
        assert_eq!(serde_json::to_value(present(&container)).unwrap(), expected);
        let expected = json!([
            {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 9090, "Type": "tcp"},
            {"PrivatePort": 443, "Type": "tcp"},
        ]);
        let list = listed(&container);
        assert_eq!(serde_json::to_value(&list).unwrap(), expected);
        let port = "8080".parse().unwrap();
        assert!(list.iter().any(|view| view.is_published_at(&port)));
        assert!(!list.iter().any(|view| view.is(&port)));
    }

    #[test]
    fn one_that_does_not_run_has_none() {
        let container = Container { state: State::Created { failure: None }, ..running() };
        assert!(present(&container).is_empty());
        assert!(listed(&container).is_empty());
    }
}
