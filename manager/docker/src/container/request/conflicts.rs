//! Settings that can't be had together, in docker's words.

use tare_core::container::{ContainerConfig, HostConfig, NetworkMode, UtsMode};

use crate::error::{Error, Result};

/// Refuses what belongs to a network or a host name that is another's.
pub(super) fn check(config: &ContainerConfig, host: &HostConfig) -> Result<()> {
    let joins_network = matches!(host.network_mode, NetworkMode::Container(_));
    let publishes = !host.port_bindings.is_empty() || host.publish_all_ports;
    let conflicts = [
        (joins_network && !config.hostname.is_empty(), "hostname and the network mode"),
        (
            joins_network && !host.links.is_empty(),
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (joins_network && !host.dns.is_empty(), "dns and the network mode"),
        (
            joins_network && !host.extra_hosts.is_empty(),
            "custom host-to-IP mapping and the network mode",
        ),
        (joins_network && publishes, "port publishing and the container type network mode"),
        (
            joins_network && !config.exposed_ports.is_empty(),
            "port exposing and the container type network mode",
        ),
        (
            host.uts_mode == UtsMode::Host && !config.hostname.is_empty(),
            "hostname and the UTS mode",
        ),
    ];
    match conflicts.into_iter().find(|(conflict, _)| *conflict) {
        None => Ok(()),
        Some((_, what)) => Err(Error::invalid(format!("conflicting options: {what}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_anothers_cannot_be_set() {
        let joined = HostConfig {
            network_mode: NetworkMode::Container("web".to_owned()),
            ..HostConfig::default()
        };
        let named = ContainerConfig { hostname: "x".to_owned(), ..ContainerConfig::default() };
        let refused = |config: &ContainerConfig, host: &HostConfig| {
            check(config, host).unwrap_err().to_string()
        };
        assert_eq!(refused(&named, &joined), "conflicting options: hostname and the network mode");
        let publishing = HostConfig { publish_all_ports: true, ..joined.clone() };
        assert_eq!(
            refused(&ContainerConfig::default(), &publishing),
            "conflicting options: port publishing and the container type network mode"
        );
        let uts = HostConfig { uts_mode: UtsMode::Host, ..HostConfig::default() };
        assert_eq!(refused(&named, &uts), "conflicting options: hostname and the UTS mode");
        check(&named, &HostConfig::default()).unwrap();
        check(&ContainerConfig::default(), &joined).unwrap();
    }
}
