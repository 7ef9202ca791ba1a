//! What a caller asks of a network for a container, and what it gets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::mac::MacAddress;
use crate::error::{Error, Result};

/// A wish to put one container on one network.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The container's id.
    pub container: String,
    /// The container's name, for what people read.
    pub name: String,
    /// The network's name or id.
    pub network: String,
    /// The address to have; none: the next free one.
    pub requested_ip: Option<Ipv4Addr>,
    /// The hardware address to have; none: one derived from the address.
    pub mac: Option<MacAddress>,
    /// The ports to publish.
    pub ports: Vec<PortRequest>,
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

/// What a container has of a network. Its owner keeps a copy in its own record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container's id.
    pub container: String,
    /// This connection's id: 64 hexadecimal digits.
    pub endpoint_id: String,
    /// The network's name.
    pub network: String,
    /// The network's id.
    pub network_id: String,
    /// The file that holds its network namespace; none: it shares the host's.
    pub netns: Option<PathBuf>,
    /// Its interface; none on the networks `host` and `none`.
    pub interface: Option<Interface>,
    /// Its published ports.
    pub ports: Vec<PublishedPort>,
}

/// The interface `eth0` of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The name of the other end of its cable, on the host.
    pub host_name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The prefix length of its subnet.
    pub prefix_length: u8,
    /// Where everything else is reached.
    pub gateway: Ipv4Addr,
    /// Its hardware address.
    pub mac: MacAddress,
}

/// A container that has just been connected.
#[derive(Debug)]
pub struct Connected {
    /// What it has.
    pub endpoint: Endpoint,
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
