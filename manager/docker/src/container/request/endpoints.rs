//! `NetworkingConfig`: what a container wants of its networks.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;
use tare_core::container::{Membership, NetworkMode};
use tare_core::network::MacAddress;

use crate::error::{Error, Result};
use crate::version::ApiVersion;

/// The first version in which a container can be made on several networks.
const SEVERAL_SINCE: ApiVersion = ApiVersion::new(1, 44);

/// Its endpoints by the name or id of their network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct NetworkingBody {
    endpoints_config: Option<BTreeMap<String, Option<EndpointBody>>>,
}

/// One endpoint. What only the server says (ids, addresses in use) is not read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct EndpointBody {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<IpamBody>,
    links: Option<Vec<String>>,
    aliases: Option<Vec<String>>,
    mac_address: Option<String>,
    driver_opts: Option<BTreeMap<String, String>>,
    gw_priority: Option<i64>,
    #[serde(rename = "NetworkID")]
    _network_id: Option<Value>,
    #[serde(rename = "EndpointID")]
    _endpoint_id: Option<Value>,
    #[serde(rename = "Gateway")]
    _gateway: Option<Value>,
    #[serde(rename = "IPAddress")]
    _ip_address: Option<Value>,
    #[serde(rename = "IPPrefixLen")]
    _ip_prefix_len: Option<Value>,
    #[serde(rename = "IPv6Gateway")]
    _ipv6_gateway: Option<Value>,
    #[serde(rename = "GlobalIPv6Address")]
    _global_ipv6_address: Option<Value>,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    _global_ipv6_prefix_len: Option<Value>,
    #[serde(rename = "DNSNames")]
    _dns_names: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct IpamBody {
    #[serde(rename = "IPv4Address")]
    ipv4_address: Option<String>,
    #[serde(rename = "IPv6Address")]
    ipv6_address: Option<String>,
    #[serde(rename = "LinkLocalIPs")]
    link_local_ips: Option<Vec<String>>,
}

impl NetworkingBody {
    /// What it says of each network, if all of it can be.
    pub(super) fn into_domain(self, version: ApiVersion) -> Result<BTreeMap<String, Membership>> {
        let endpoints = self.endpoints_config.unwrap_or_default();
        if version < SEVERAL_SINCE && endpoints.len() > 1 {
            let names: Vec<_> = endpoints.keys().map(String::as_str).collect();
            return Err(Error::invalid(format!(
                "Container cannot be created with multiple network endpoints: {}",
                names.join(", ")
            )));
        }
        let one = |(name, endpoint): (String, Option<EndpointBody>)| {
            let called = NetworkMode::from(name.clone()).network().unwrap_or(&name).to_owned();
            let wanted = endpoint.unwrap_or_default().into_domain().map_err(|error| {
                error.while_doing(format_args!("invalid config for network {called}"))
            })?;
            Ok((name, wanted))
        };
        endpoints.into_iter().map(one).collect()
    }
}

impl EndpointBody {
    /// What it asks of the domain.
    pub(crate) fn into_domain(self) -> Result<Membership> {
        let ipam = self.ipam_config.unwrap_or_default();
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        let mac_address = self.mac_address.filter(|mac| !mac.is_empty());
        mac_address.as_deref().map(check_mac).transpose()?;
        Ok(Membership {
            ipv4: named(ipam.ipv4_address).map(|text| address("IPv4", &text)).transpose()?,
            ipv6: named(ipam.ipv6_address).map(|text| address("IPv6", &text)).transpose()?,
            link_local: ipam
                .link_local_ips
                .unwrap_or_default()
                .iter()
                .map(|text| address("link-local IP", text))
                .collect::<Result<_>>()?,
            options: self.driver_opts,
            mac_address,
            aliases: self.aliases.unwrap_or_default(),
            links: self.links.unwrap_or_default(),
            gateway_priority: self.gw_priority.unwrap_or_default(),
        })
    }
}

/// Refuses what is no hardware address.
pub(super) fn check_mac(text: &str) -> Result<()> {
    text.parse::<MacAddress>()?;
    Ok(())
}

fn address<T: FromStr>(kind: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::invalid(format!("invalid {kind} address: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<BTreeMap<String, Membership>> {
        read_by(ApiVersion::NEWEST, json)
    }

    fn read_by(version: ApiVersion, json: &str) -> Result<BTreeMap<String, Membership>> {
        crate::body::parse::<NetworkingBody>(json.as_bytes())?.into_domain(version)
    }

    #[test]
    fn each_network_has_its_wishes() {
        let networks = read(
            r#"{"EndpointsConfig":{
                "mine":{"IPAMConfig":{"IPv4Address":"10.1.0.9","IPv6Address":"fd00::9",
                    "LinkLocalIPs":["169.254.8.8"]},"Aliases":["x"],"GwPriority":3,
                    "DriverOpts":{"k":"v"}},
                "bridge":{"MacAddress":"02:42:ac:11:00:09"},
                "other":null
            }}"#,
        )
        .unwrap();
        let mine = &networks["mine"];
        assert_eq!(mine.ipv4, Some([10, 1, 0, 9].into()));
        assert_eq!(mine.ipv6, Some("fd00::9".parse().unwrap()));
        assert_eq!(mine.link_local[0].to_string(), "169.254.8.8");
        assert_eq!(mine.options.as_ref().unwrap()["k"], "v");
        assert_eq!((mine.aliases[0].as_str(), mine.gateway_priority), ("x", 3));
        assert!(networks["bridge"].mac_address.is_some());
        assert_eq!(networks["other"], Membership::default());
        let two = r#"{"EndpointsConfig":{"a":{},"b":{}}}"#;
        let error = read_by(ApiVersion::new(1, 43), two).unwrap_err().to_string();
        assert_eq!(error, "Container cannot be created with multiple network endpoints: a, b");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let error = |json| read(json).unwrap_err().to_string();
        let wrong = r#"{"EndpointsConfig":{"a":{"IPAMConfig":{"IPv4Address":"::1"}}}}"#;
        assert!(error(wrong).ends_with("invalid IPv4 address: ::1"));
        let wrong = r#"{"EndpointsConfig":{"a":{"MacAddress":"x"}}}"#;
        assert!(error(wrong).ends_with("invalid MAC address: x"));
    }
}
