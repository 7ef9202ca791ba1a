//! `NetworkSettings`: a container's place on the network.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use tare_core::container::{Container, Membership, NetworkMode, State};
use tare_core::network::{Endpoint, Networks};

use super::ports::{Bindings, present};

/// Docker's `NetworkSettings`, with the fields of its past.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::container) struct NetworkSettings {
    bridge: &'static str,
    #[serde(rename = "SandboxID")]
    sandbox_id: String,
    sandbox_key: String,
    ports: Bindings,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: &'static str,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_len: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    secondary_ip_addresses: Option<()>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_ipv6_addresses: Option<()>,
    /// The endpoint on the default bridge, as it was before there were other networks.
    #[serde(flatten)]
    on_bridge: Addresses,
    networks: BTreeMap<String, EndpointView>,
}

/// Docker's `EndpointSettings`.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EndpointView {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<IpamConfig>,
    links: Option<Vec<String>>,
    aliases: Option<Vec<String>>,
    driver_opts: Option<BTreeMap<String, String>>,
    gw_priority: i64,
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(flatten)]
    addresses: Addresses,
    #[serde(rename = "DNSNames")]
    dns_names: Option<Vec<String>>,
}

/// The addresses that its user wished for.
#[derive(Debug, Clone, Serialize)]
struct IpamConfig {
    #[serde(rename = "IPv4Address", skip_serializing_if = "Option::is_none")]
    ipv4_address: Option<Ipv4Addr>,
    #[serde(rename = "IPv6Address", skip_serializing_if = "Option::is_none")]
    ipv6_address: Option<Ipv6Addr>,
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Vec::is_empty")]
    link_local: Vec<IpAddr>,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Addresses {
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    mac_address: String,
}

impl NetworkSettings {
    /// Of `container`.
    pub(in crate::container) fn of(container: &Container, known: &Networks) -> Self {
        let networks = networks(container, known);
        let live = container.network.as_ref().filter(|_| container.state.is_running());
        Self {
            bridge: "",
            sandbox_id: live.map(|_| container.id.to_string()).unwrap_or_default(),
            sandbox_key: live
                .and_then(|live| live.netns.as_ref())
                .map(|netns| netns.display().to_string())
                .unwrap_or_default(),
            ports: present(container),
            hairpin_mode: false,
            link_local_ipv6_address: "",
            link_local_ipv6_prefix_len: 0,
            secondary_ip_addresses: None,
            secondary_ipv6_addresses: None,
            on_bridge: networks.get("bridge").cloned().unwrap_or_default().addresses,
            networks,
        }
    }
}

/// A container's endpoints by the name of their network. One that doesn't run has endpoints without
/// addresses.
pub(in crate::container) fn networks(
    container: &Container,
    known: &Networks,
) -> BTreeMap<String, EndpointView> {
    let mut views: BTreeMap<_, _> = container
        .host
        .networks
        .iter()
        .map(|(name, wanted)| (name.clone(), EndpointView::wanted(container, name, wanted, known)))
        .collect();
    let live = container.network.as_ref().filter(|_| container.state.is_running());
    for endpoint in live.into_iter().flat_map(|sandbox| &sandbox.endpoints) {
        views.entry(endpoint.network.clone()).or_default().fill_in(endpoint);
    }
    views
}

/// The network that a mode names; none for one that shares another container's.
pub(in crate::container) fn network_name(mode: &NetworkMode) -> Option<&str> {
    mode.network()
}

impl IpamConfig {
    fn of(wanted: &Membership) -> Option<Self> {
        let config = Self {
            ipv4_address: wanted.ipv4,
            ipv6_address: wanted.ipv6,
            link_local: wanted.link_local.clone(),
        };
        let says_nothing = wanted.addresses().is_empty() && wanted.link_local.is_empty();
        (!says_nothing).then_some(config)
    }
}

impl EndpointView {
    /// What is known of an endpoint whether its container runs or not.
    fn wanted(container: &Container, name: &str, wanted: &Membership, known: &Networks) -> Self {
        let has_run = !matches!(container.state, State::Created { .. });
        let listed = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        let is_named = matches!(NetworkMode::from(name.to_owned()), NetworkMode::Named(_));
        Self {
            ipam_config: IpamConfig::of(wanted),
            links: listed(&wanted.links),
            aliases: listed(&wanted.aliases),
            driver_opts: wanted.options.clone(),
            gw_priority: wanted.gateway_priority,
            network_id: match has_run {
                true => known.id_of(name).unwrap_or_default(),
                false => String::new(),
            },
            addresses: Addresses {
                mac_address: wanted.mac_address.clone().unwrap_or_default(),
                ..Addresses::default()
            },
            dns_names: (has_run && is_named).then(|| container.names_on(wanted)),
        }
    }

    /// Adds what there is while the container runs.
    fn fill_in(&mut self, live: &Endpoint) {
        self.network_id.clone_from(&live.network_id);
        self.addresses.endpoint_id.clone_from(&live.endpoint_id);
        if let Some(interface) = &live.interface {
            let text = |address: Option<IpAddr>| {
                // Where the interface itself leads out there is none to name.
                let named = address.filter(|address| !address.is_unspecified());
                named.map(|address| address.to_string()).unwrap_or_default()
            };
            if let Some(assigned) = &interface.ipv4 {
                self.addresses.gateway = text(assigned.gateway);
                self.addresses.ip_address = assigned.address.to_string();
                self.addresses.ip_prefix_len = assigned.prefix_length;
            }
            if let Some(assigned) = &interface.ipv6 {
                self.addresses.ipv6_gateway = text(assigned.gateway);
                self.addresses.global_ipv6_address = assigned.address.to_string();
                self.addresses.global_ipv6_prefix_len = assigned.prefix_length;
            }
            self.addresses.mac_address = interface.mac.to_string();
        }
    }

    /// The id of its network.
    pub(in crate::container) fn network_id(&self) -> &str {
        &self.network_id
    }
}
