//! Ports that containers expose, and where they are published.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A transport protocol.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port inside a container, written `80/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Port {
    /// Its number; never 0.
    pub number: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// One place on the host that leads to a container's port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// The address to listen on; `None`: the network's default.
    pub host_ip: Option<IpAddr>,
    /// Which port.
    pub host_port: HostPort,
}

/// How the port on the host is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPort {
    /// Any free one.
    #[default]
    Ephemeral,
    /// This one.
    Fixed(u16),
    /// The first free one of these, ends included.
    Range(u16, u16),
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "" | "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(Error::invalid(format!("invalid proto: {text}"))),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Port {
    type Err = Error;

    /// Reads `80`, `80/tcp`.
    fn from_str(text: &str) -> Result<Self> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let number = match number.parse::<u16>() {
            Ok(number) if number > 0 => number,
            _ => return Err(Error::invalid(format!("invalid port: {text}"))),
        };
        Ok(Self { number, protocol: protocol.parse()? })
    }
}

impl TryFrom<String> for Port {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Port> for String {
    fn from(port: Port) -> Self {
        port.to_string()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

impl FromStr for HostPort {
    type Err = Error;

    /// Reads docker's `HostPort`: empty or `0`, `8080`, `8000-8010`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("invalid port specification: {text:?}"));
        let number = |part: &str| part.parse::<u16>().map_err(|_| wrong());
        if text.is_empty() {
            return Ok(Self::Ephemeral);
        }
        let Some((first, last)) = text.split_once('-') else {
            let port = number(text)?;
            return Ok(if port == 0 { Self::Ephemeral } else { Self::Fixed(port) });
        };
        let (first, last) = (number(first)?, number(last)?);
        if first == 0 || last < first {
            return Err(wrong());
        }
        Ok(if first == last { Self::Fixed(first) } else { Self::Range(first, last) })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ephemeral => Ok(()),
            Self::Fixed(port) => write!(f, "{port}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_read_back_as_written() {
        for text in ["80/tcp", "53/udp", "9/sctp"] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
        }
        assert_eq!("80".parse::<Port>().unwrap().to_string(), "80/tcp");
        for text in ["0/tcp", "65536", "x/tcp", "80/xyz", ""] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_port_is_one_or_a_range_or_left_open() {
        assert_eq!("".parse::<HostPort>().unwrap(), HostPort::Ephemeral);
        assert_eq!("0".parse::<HostPort>().unwrap(), HostPort::Ephemeral);
        assert_eq!("8080".parse::<HostPort>().unwrap(), HostPort::Fixed(8080));
        assert_eq!("1-9".parse::<HostPort>().unwrap(), HostPort::Range(1, 9));
        assert!("9-1".parse::<HostPort>().is_err());
    }
}
