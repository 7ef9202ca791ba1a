//! What a caller asks of networks for a container, and what it gets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::family::Family;
use super::mac::MacAddress;
use crate::error::{Error, Result};

/// A wish to put a container that is about to start on its networks.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The container's id.
    pub container: String,
    /// The container's name, for what people read.
    pub name: String,
    /// The file that holds the user namespace whose root rules its network stack; none: the host's.
    pub user_namespace: Option<PathBuf>,
    /// Its networks, in the order of its interfaces; at least one.
    pub wishes: Vec<Wish>,
    /// The ports to publish.
    pub ports: Vec<PortRequest>,
    /// Who is asked for names that no container has.
    pub name_servers: Vec<IpAddr>,
    /// How they are asked.
    pub forwarding: Forwarding,
}

/// How others are asked for names that no container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding {
    /// From where.
    pub standpoint: Standpoint,
    /// Whether names of a single word are not asked for, as the container tries its search domains
    /// first.
    pub keeps_single_words: bool,
}

/// From where names are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standpoint {
    /// From the host's network: its own servers may be on its loopback.
    #[default]
    Host,
    /// From the container's networks, where its user means the servers that he names.
    Container,
}

/// What a container wants of one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// The network's name or id.
    pub network: String,
    /// The IPv4 address to have; none: the next free one.
    pub ipv4: Option<Ipv4Addr>,
    /// The IPv6 address to have; none: the next free one.
    pub ipv6: Option<Ipv6Addr>,
    /// Whether it has no use for an IPv6 address, as its user keeps the kernel from it.
    pub without_ipv6: bool,
    /// Addresses to have beside those, which are good for this network's link alone.
    pub link_local: Vec<IpAddr>,
    /// The hardware address to have; none: one derived from the address.
    pub mac: Option<MacAddress>,
    /// What it is called there; its own name first.
    pub names: Vec<String>,
    /// What it calls others there: its word, and one of their names.
    pub links: BTreeMap<String, String>,
    /// Everything that is on none of its networks is reached by the one with the highest.
    pub gateway_priority: i64,
    /// The interface's name inside; none: the next free one.
    pub interface: Option<String>,
    /// Settings of the kernel's for the interface, each its path below `/proc/sys/net` with the
    /// interface's name left out (`ipv4.conf`, `log_martians`), and its value.
    pub sysctls: Vec<Sysctl>,
}

impl Wish {
    /// Whether it has a use for addresses of this kind.
    pub(super) fn takes(&self, family: Family) -> bool {
        match family {
            Family::V4 => true,
            Family::V6 => !self.without_ipv6,
        }
    }
}

/// A setting of the kernel's for one interface: `net.FAMILY.TABLE.IFNAME.KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// `ipv4`, `ipv6` or `mpls`.
    pub family: String,
    /// `conf` or `neigh`.
    pub table: String,
    /// Its name.
    pub key: String,
    /// What it is set to.
    pub value: String,
}

/// A wish to publish one port of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRequest {
    /// The port inside the container.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The host's address to publish on; none: the network's default, usually every one.
    pub host_ip: Option<IpAddr>,
    /// The host's port.
    pub host_port: PortChoice,
}

/// Which port of the host will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortChoice {
    /// Any free one of the host's ephemeral range.
    Ephemeral,
    /// This one and no other.
    Fixed(u16),
    /// The first free one of these.
    Range {
        /// The lowest.
        first: u16,
        /// The highest.
        last: u16,
    },
}

/// A transport protocol whose ports can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The name in lower case, as command lines have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Its number in IP headers.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = Error;

    /// Reads `tcp`, `udp` or `sctp` in any case.
    ///
    /// # Errors
    /// `Invalid` for anything else.
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(Error::invalid(format!("invalid proto: {text}"))),
        }
    }
}

/// A port that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The port inside the container.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The host's address; 0.0.0.0 or :: for every one of its kind.
    pub host_ip: IpAddr,
    /// The host's port; 0 where the container's own is reached by routes.
    pub host_port: u16,
}

/// A running container's network stack. Its owner keeps a copy in its own record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The container's id.
    pub container: String,
    /// The file that holds its network namespace; none: it shares the host's.
    pub netns: Option<PathBuf>,
    /// What it has of each of its networks.
    pub endpoints: Vec<Endpoint>,
    /// Its published ports, which lead to the address of their kind that it has where its
    /// [`Sandbox::gateway`] is.
    pub ports: Vec<PublishedPort>,
    /// The ports that it is to publish.
    pub wanted_ports: Vec<PortRequest>,
    /// Who is asked for names that no container has.
    pub name_servers: Vec<IpAddr>,
    /// How they are asked.
    #[serde(default)]
    pub forwarding: Forwarding,
}

impl Sandbox {
    /// Its endpoint on the network with this id.
    pub fn endpoint(&self, network_id: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.network_id == network_id)
    }

    /// The ports by which others reach it now.
    pub fn published(&self) -> impl Iterator<Item = &PublishedPort> {
        let leads_in = |port: &&PublishedPort| match Family::of(port.host_ip) {
            Family::V4 => self.gateway(Family::V4).is_some(),
            // What comes by IPv6 may be passed on to IPv4.
            Family::V6 => self.way_out().is_some(),
        };
        self.ports.iter().filter(leads_in)
    }

    /// The endpoint by which everything else is reached, if anything is, by whatever kind of address.
    pub fn way_out(&self) -> Option<&Endpoint> {
        self.gateway(Family::V4).or_else(|| self.gateway(Family::V6))
    }

    /// The same for one kind: of those with the highest
    /// priority, the one that leads out by both kinds of addresses, and then by name.
    pub fn gateway(&self, family: Family) -> Option<&Endpoint> {
        let leads_out = |endpoint: &Endpoint, family| {
            let interface = endpoint.interface.as_ref();
            let assigned = interface.and_then(|interface| interface.assigned_of(family));
            assigned.is_some_and(|assigned| assigned.gateway.is_some())
        };
        let ways = |endpoint: &Endpoint| {
            Family::BOTH.into_iter().filter(|family| leads_out(endpoint, *family)).count()
        };
        let endpoints = self.endpoints.iter().filter(|endpoint| leads_out(endpoint, family));
        endpoints.min_by_key(|endpoint| {
            let priority = std::cmp::Reverse(endpoint.gateway_priority);
            (priority, std::cmp::Reverse(ways(endpoint)), endpoint.network.as_str())
        })
    }
}

/// What a container has of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// This connection's id: 64 hexadecimal digits.
    pub endpoint_id: String,
    /// The network's name.
    pub network: String,
    /// The network's id.
    pub network_id: String,
    /// The name of the network's driver.
    pub driver: String,
    /// Its interface; none on the networks `host` and `none`.
    pub interface: Option<Interface>,
    /// What the container is called there; its own name first. None where there are no names.
    pub names: Vec<String>,
    /// What the container calls others there.
    pub links: BTreeMap<String, String>,
    /// See [`Wish::gateway_priority`].
    pub gateway_priority: i64,
}

impl Endpoint {
    /// Whether it is behind the host, which can publish its ports.
    pub fn is_behind_host(&self) -> bool {
        self.interface.as_ref().is_some_and(|interface| !interface.host_name.is_empty())
    }
}

/// An interface of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name inside.
    pub name: String,
    /// The name of the other end of its cable, on the host; empty where it has none.
    pub host_name: String,
    /// Its IPv4 address.
    pub ipv4: Option<Assigned>,
    /// Its IPv6 address.
    pub ipv6: Option<Assigned>,
    /// Addresses that its user wanted beside those.
    pub link_local: Vec<IpAddr>,
    /// Its hardware address.
    pub mac: MacAddress,
    /// What its user wanted of the kernel for it.
    pub sysctls: Vec<Sysctl>,
}

impl Interface {
    /// Its addresses by which others reach it, IPv4 first.
    pub fn assigned(&self) -> impl Iterator<Item = &Assigned> {
        self.ipv4.iter().chain(&self.ipv6)
    }

    /// Its address of this kind.
    pub fn assigned_of(&self, family: Family) -> Option<&Assigned> {
        match family {
            Family::V4 => self.ipv4.as_ref(),
            Family::V6 => self.ipv6.as_ref(),
        }
    }

    /// The addresses alone.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.assigned().map(|assigned| assigned.address)
    }
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The address.
    pub address: IpAddr,
    /// The prefix length of its subnet.
    pub prefix_length: u8,
    /// Where everything else is reached; none where nothing else is.
    pub gateway: Option<IpAddr>,
}

/// A container that has just been connected.
#[derive(Debug)]
pub struct Connected {
    /// What it has.
    pub sandbox: Sandbox,
    /// What holds the published ports: whoever lives as long as the container must have it.
    pub reservations: Vec<Reservation>,
}

/// What holds a published port on the host.
#[derive(Debug)]
pub struct Reservation {
    /// A bound socket, which keeps other programs off the port.
    pub socket: OwnedFd,
    /// Where what comes to the socket is to be passed on; none: nothing ever does.
    pub passed_on_to: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_protocol_that_has_no_ports_is_refused() {
        assert_eq!("TCP".parse::<Protocol>().unwrap(), Protocol::Tcp);
        assert_eq!("sctp".parse::<Protocol>().unwrap(), Protocol::Sctp);
        assert_eq!("icmp".parse::<Protocol>().unwrap_err().kind(), Kind::Invalid);
    }

    fn endpoint(network: &str, gateway_priority: i64, gateways: [bool; 2]) -> Endpoint {
        let assigned = |address: &str, has_gateway: bool| {
            let address: IpAddr = address.parse().unwrap();
            Assigned { address, prefix_length: 64, gateway: has_gateway.then_some(address) }
        };
        let [ipv4, ipv6] = gateways;
        Endpoint {
            endpoint_id: String::new(),
            network: network.to_owned(),
            network_id: network.to_owned(),
            driver: "bridge".to_owned(),
            interface: Some(Interface {
                name: "eth0".to_owned(),
                host_name: String::new(),
                ipv4: Some(assigned("10.0.0.1", ipv4)),
                ipv6: Some(assigned("fd00::1", ipv6)),
                link_local: Vec::new(),
                mac: "02:00:00:00:00:01".parse().unwrap(),
                sysctls: Vec::new(),
            }),
            names: Vec::new(),
            links: BTreeMap::new(),
            gateway_priority,
        }
    }

    #[test]
    fn the_way_out_is_the_first_that_leads_both_ways_unless_another_is_preferred() {
        let way = |endpoints: &[Endpoint]| {
            let sandbox = Sandbox {
                container: String::new(),
                netns: None,
                endpoints: endpoints.to_vec(),
                ports: Vec::new(),
                wanted_ports: Vec::new(),
                name_servers: Vec::new(),
                forwarding: Forwarding::default(),
            };
            Family::BOTH.map(|family| sandbox.gateway(family).map(|end| end.network.clone()))
        };
        let named = |v4: &str, v6: &str| [Some(v4.to_owned()), Some(v6.to_owned())];
        let (a, b) = (endpoint("a", 0, [true, false]), endpoint("b", 0, [true, true]));
        assert_eq!(way(&[a.clone(), b.clone()]), named("b", "b"));
        assert_eq!(way(&[a, b, endpoint("c", 1, [true, false])]), named("c", "b"));
        assert_eq!(way(&[endpoint("d", 0, [false, false])]), [None, None]);
    }
}
