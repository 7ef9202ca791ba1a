//! Which ports of a container its network is asked to publish.

use super::modes::NetworkMode;
use super::ports::{HostPort, Port, Protocol};
use super::record::Container;
use crate::network::{PortChoice, PortRequest, Protocol as NetworkProtocol};

/// One request for each binding; with "publish all", one for each exposed port that has none.
pub(super) fn requests(container: &Container) -> Vec<PortRequest> {
    match container.host.network_mode {
        NetworkMode::Default | NetworkMode::Bridge | NetworkMode::Named(_) => {}
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => {
            return Vec::new();
        }
    }
    let bindings = &container.host.port_bindings;
    let mut requests = Vec::new();
    for (port, places) in bindings {
        for place in places {
            requests.push(PortRequest {
                host_ip: place.host_ip,
                ..request(*port, choice(place.host_port))
            });
        }
    }
    if container.host.publish_all_ports {
        let unbound = |port: &&Port| bindings.get(*port).is_none_or(Vec::is_empty);
        for port in container.config.exposed_ports.iter().filter(unbound) {
            requests.push(request(*port, PortChoice::Ephemeral));
        }
    }
    requests
}

fn request(port: Port, host_port: PortChoice) -> PortRequest {
    let protocol = match port.protocol {
        Protocol::Tcp => NetworkProtocol::Tcp,
        Protocol::Udp => NetworkProtocol::Udp,
        Protocol::Sctp => NetworkProtocol::Sctp,
    };
    PortRequest { container_port: port.number, protocol, host_ip: None, host_port }
}

fn choice(port: HostPort) -> PortChoice {
    match port {
        HostPort::Ephemeral => PortChoice::Ephemeral,
        HostPort::Fixed(port) => PortChoice::Fixed(port),
        HostPort::Range(first, last) => PortChoice::Range { first, last },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fixture;
    use crate::container::ports::PortBinding;

    #[test]
    fn all_exposed_ports_are_published_on_wish_and_bound_ones_as_bound() {
        let mut container = fixture::container();
        container.config.exposed_ports =
            ["80/tcp".parse().unwrap(), "53/udp".parse().unwrap()].into();
        let bound = PortBinding { host_ip: None, host_port: HostPort::Fixed(8080) };
        container.host.port_bindings = [("80/tcp".parse().unwrap(), vec![bound])].into();
        assert_eq!(requests(&container).len(), 1);
        container.host.publish_all_ports = true;
        let all = requests(&container);
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].host_port, PortChoice::Ephemeral);
        container.host.network_mode = NetworkMode::Host;
        assert!(requests(&container).is_empty());
    }
}
