//! What a caller asks of networks for a container, and what it gets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// The address to have; none: the next free one.
    pub address: Option<Ipv4Addr>,
    /// The hardware address to have; none: one derived from the address.
    pub mac: Option<MacAddress>,
    /// What it is called there; its own name first.
    pub names: Vec<String>,
    /// What it calls others there: its word, and one of their names.
    pub links: BTreeMap<String, String>,
    /// Everything that is on none of its networks is reached by the one with the highest.
    pub gateway_priority: i64,
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
}

impl Protocol {
    /// The name in lower case, as command lines have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// Its number in IP headers.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
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

    /// Reads `tcp` or `udp` in any case.
    ///
    /// # Errors
    /// `Unsupported` for `sctp`, `Invalid` for anything else.
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Err(Error::unsupported("publishing a port of the protocol sctp")),
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
    /// The host's address; 0.0.0.0 for every one.
    pub host_ip: Ipv4Addr,
    /// The host's port.
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
    /// Its published ports, which lead to the address that it has where its [`Sandbox::gateway`]
    /// is.
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
    pub fn published(&self) -> &[PublishedPort] {
        if self.gateway().is_some() { &self.ports } else { &[] }
    }

    /// The endpoint by which everything else is reached, if anything is.
    pub fn gateway(&self) -> Option<&Endpoint> {
        let leads_out = |endpoint: &&Endpoint| {
            endpoint.interface.as_ref().is_some_and(|interface| interface.gateway.is_some())
        };
        self.endpoints.iter().filter(leads_out).min_by_key(|endpoint| {
            (std::cmp::Reverse(endpoint.gateway_priority), endpoint.network.as_str())
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

/// An interface of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name inside.
    pub name: String,
    /// The name of the other end of its cable, on the host.
    pub host_name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The prefix length of its subnet.
    pub prefix_length: u8,
    /// Where everything else is reached; none where nothing else is.
    pub gateway: Option<Ipv4Addr>,
    /// Its hardware address.
    pub mac: MacAddress,
}

impl Interface {
    /// Its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        [IpAddr::V4(self.address)].into_iter()
    }
}

/// A container that has just been connected.
#[derive(Debug)]
pub struct Connected {
    /// What it has.
    pub sandbox: Sandbox,
    /// One bound socket per published port. They keep other programs off the ports, so whoever
    /// lives as long as the container must hold them; packets never reach them.
    pub reservations: Vec<OwnedFd>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_protocol_that_cannot_be_published_is_named() {
        assert_eq!("TCP".parse::<Protocol>().unwrap(), Protocol::Tcp);
        let sctp = "sctp".parse::<Protocol>().unwrap_err();
        assert_eq!(sctp.kind(), Kind::Unsupported);
        assert!(sctp.to_string().contains("sctp"));
        assert_eq!("icmp".parse::<Protocol>().unwrap_err().kind(), Kind::Invalid);
    }
}
