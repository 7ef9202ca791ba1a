//! A network as docker's clients see it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use tare_core::Engine;
use tare_core::container::Containers;
use tare_core::network::{Endpoint, Family, NetworkInfo, Pool, Subnet};

use crate::time::rfc3339;
use crate::wire::null_if_empty;

/// A network.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkView {
    name: String,
    id: String,
    created: String,
    scope: &'static str,
    driver: &'static str,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_from: ConfigFrom,
    config_only: bool,
    containers: BTreeMap<String, EndpointView>,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ipam {
    driver: &'static str,
    options: Option<BTreeMap<String, String>>,
    #[serde(serialize_with = "null_if_empty")]
    config: Vec<IpamConfig>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct IpamConfig {
    subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    ip_range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    auxiliary: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigFrom {
    network: String,
}

/// A container on a network.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointView {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
}

impl NetworkView {
    /// The network without its containers, as lists have it.
    pub(super) fn bare(network: NetworkInfo) -> Self {
        Self {
            name: network.name,
            id: network.id,
            created: rfc3339(network.created),
            scope: "local",
            driver: network.driver,
            enable_ipv4: network.families.ipv4,
            enable_ipv6: network.families.ipv6,
            ipam: Ipam {
                driver: "default",
                options: network.ipam.options,
                config: config_of(network.ipam.pools, &network.subnets),
            },
            internal: network.internal,
            attachable: network.attachable,
            ingress: false,
            config_from: ConfigFrom { network: network.config_from.unwrap_or_default() },
            config_only: network.config_only,
            containers: BTreeMap::new(),
            options: network.options,
            labels: network.labels,
        }
    }

    /// The network with its containers.
    pub(super) fn whole(network: NetworkInfo, engine: &Engine) -> Self {
        let endpoints = engine.networks.endpoints_on(&network.id);
        let containers = endpoints
            .iter()
            .map(|(container, endpoint)| {
                (container.clone(), EndpointView::of(container, endpoint, &engine.containers))
            })
            .collect();
        Self { containers, ..Self::bare(network) }
    }
}

/// What a network's user has said of its addresses, and then those of the other kind that were chosen;
/// of each IPv4 first.
fn config_of(pools: Vec<Pool>, subnets: &[Subnet]) -> Vec<IpamConfig> {
    let named: BTreeSet<_> = pools.iter().map(Pool::family).collect();
    let (older, newer): (Vec<_>, Vec<_>) =
        pools.into_iter().partition(|pool| pool.family() == Family::V4);
    let chosen = subnets.iter().filter(|subnet| !named.contains(&subnet.family()));
    let said = older.into_iter().chain(newer).map(IpamConfig::from);
    said.chain(chosen.copied().map(IpamConfig::from)).collect()
}

impl From<Subnet> for IpamConfig {
    fn from(subnet: Subnet) -> Self {
        Self {
            subnet: subnet.to_string(),
            ip_range: None,
            gateway: subnet.gateway.map(|address| address.to_string()),
            auxiliary: BTreeMap::new(),
        }
    }
}

impl From<Pool> for IpamConfig {
    fn from(pool: Pool) -> Self {
        let text = |(name, address): (String, IpAddr)| (name, address.to_string());
        Self {
            subnet: pool.subnet.to_string(),
            ip_range: pool.range.map(|net| net.to_string()),
            gateway: pool.gateway.map(|address| address.to_string()),
            auxiliary: pool.auxiliary.into_iter().map(text).collect(),
        }
    }
}

impl EndpointView {
    fn of(container: &str, endpoint: &Endpoint, known: &Containers) -> Self {
        let interface = endpoint.interface.as_ref();
        let address = |family| {
            let assigned = interface.and_then(|found| found.assigned_of(family));
            let text = assigned.map(|one| format!("{}/{}", one.address, one.prefix_length));
            text.unwrap_or_default()
        };
        Self {
            name: known.find(container).map(|c| c.name.clone()).unwrap_or_default(),
            endpoint_id: endpoint.endpoint_id.clone(),
            mac_address: interface.map(|found| found.mac.to_string()).unwrap_or_default(),
            ipv4_address: address(Family::V4),
            ipv6_address: address(Family::V6),
        }
    }
}
