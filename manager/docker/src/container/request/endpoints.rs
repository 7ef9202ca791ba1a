//! `NetworkingConfig`: which addresses a container wants on its network.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tare_core::container::{HostConfig, NetworkMode};
use tare_core::network::MacAddress;

use super::lenient::Unset;
use crate::error::{Error, Result};

/// Its endpoints by the name of their network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct NetworkingBody {
    endpoints_config: Option<BTreeMap<String, Option<EndpointBody>>>,
}

/// One endpoint. What only the server says (ids, addresses in use) is not read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
struct EndpointBody {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<IpamBody>,
    links: Option<Unset>,
    aliases: Option<Unset>,
    mac_address: Option<String>,
    driver_opts: Option<Unset>,
    gw_priority: Option<Unset>,
    #[serde(rename = "NetworkID")]
    _network_id: Option<IgnoredAny>,
    #[serde(rename = "EndpointID")]
    _endpoint_id: Option<IgnoredAny>,
    #[serde(rename = "Gateway")]
    _gateway: Option<IgnoredAny>,
    #[serde(rename = "IPAddress")]
    _ip_address: Option<IgnoredAny>,
    #[serde(rename = "IPPrefixLen")]
    _ip_prefix_len: Option<IgnoredAny>,
    #[serde(rename = "IPv6Gateway")]
    _ipv6_gateway: Option<IgnoredAny>,
    #[serde(rename = "GlobalIPv6Address")]
    _global_ipv6_address: Option<IgnoredAny>,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    _global_ipv6_prefix_len: Option<IgnoredAny>,
    #[serde(rename = "DNSNames")]
    _dns_names: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
struct IpamBody {
    #[serde(rename = "IPv4Address")]
    ipv4_address: Option<String>,
    #[serde(rename = "IPv6Address")]
    ipv6_address: Option<Unset>,
    #[serde(rename = "LinkLocalIPs")]
    link_local_ips: Option<Unset>,
}

impl NetworkingBody {
    /// Adds to `host` what is wished for the endpoint on its network.
    pub(super) fn apply(self, host: &mut HostConfig) -> Result<()> {
        let endpoints = self.endpoints_config.unwrap_or_default();
        if endpoints.len() > 1 {
            let names = endpoints.into_keys().collect::<Vec<_>>().join(", ");
            return Err(Error::unsupported(format_args!(
                "a container on several networks ({names})"
            )));
        }
        let Some((name, endpoint)) = endpoints.into_iter().next() else { return Ok(()) };
        if host.network_mode == NetworkMode::Default {
            host.network_mode = NetworkMode::from(name.clone());
        }
        let same = [host.network_mode.to_string(), "default".to_owned()].contains(&name);
        if !same {
            return Err(Error::unsupported(format_args!(
                "a container on several networks ({}, {name})",
                host.network_mode
            )));
        }
        let endpoint = endpoint.unwrap_or_default();
        let address = endpoint.ipam_config.and_then(|ipam| ipam.ipv4_address);
        host.address =
            address.filter(|text| !text.is_empty()).map(|text| ipv4(&text)).transpose()?;
        let is_named = matches!(host.network_mode, NetworkMode::Named(_));
        if host.address.is_some() && !is_named {
            return Err(Error::invalid(format!(
                "invalid config for network {name}: invalid endpoint settings:\nuser specified IP \
                 address is supported on user defined networks only"
            )));
        }
        host.mac_address = endpoint.mac_address.filter(|mac| !mac.is_empty());
        if let Some(mac) = &host.mac_address {
            check_mac(mac)?;
        }
        Ok(())
    }
}

/// Refuses what is no hardware address.
pub(super) fn check_mac(text: &str) -> Result<()> {
    text.parse::<MacAddress>()?;
    Ok(())
}

fn ipv4(text: &str) -> Result<Ipv4Addr> {
    text.parse().map_err(|_| Error::invalid(format!("invalid IPv4 address: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(mode: &str, json: &str) -> Result<HostConfig> {
        let body: NetworkingBody = crate::body::parse(json.as_bytes())?;
        let network_mode = NetworkMode::from(mode.to_owned());
        let mut host = HostConfig { network_mode, ..HostConfig::default() };
        body.apply(&mut host).map(|()| host)
    }

    #[test]
    fn the_endpoint_is_of_the_containers_network() {
        let json = r#"{"EndpointsConfig":{"mine":{"IPAMConfig":{"IPv4Address":"10.1.0.9"}}}}"#;
        assert_eq!(apply("mine", json).unwrap().address, Some([10, 1, 0, 9].into()));
        assert_eq!(apply("default", json).unwrap().network_mode.to_string(), "mine");
        assert!(apply("host", json).is_err());
        assert!(apply("default", r#"{"EndpointsConfig":{"default":null}}"#).is_ok());
        let json = r#"{"EndpointsConfig":{"bridge":{"MacAddress":"02:42:ac:11:00:09"}}}"#;
        assert!(apply("bridge", json).unwrap().mac_address.is_some());
    }

    #[test]
    fn more_than_that_is_refused() {
        let error = |json| apply("default", json).unwrap_err().to_string();
        assert!(error(r#"{"EndpointsConfig":{"a":{},"b":{}}}"#).contains("networks (a, b)"));
        assert!(error(r#"{"EndpointsConfig":{"a":{"Aliases":["x"]}}}"#).contains("Aliases"));
        let wrong = r#"{"EndpointsConfig":{"a":{"IPAMConfig":{"IPv4Address":"::1"}}}}"#;
        assert_eq!(error(wrong), "invalid IPv4 address: ::1");
        let wrong = r#"{"EndpointsConfig":{"a":{"MacAddress":"x"}}}"#;
        assert_eq!(error(wrong), "invalid MAC address: x");
        let fixed = r#"{"EndpointsConfig":{"bridge":{"IPAMConfig":{"IPv4Address":"172.17.0.9"}}}}"#;
        assert!(error(fixed).contains("on user defined networks only"));
    }
}
