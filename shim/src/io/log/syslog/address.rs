//! Where a syslog server is: `tcp://host:port`, `udp://host:port`, `unix:///path`,
//! `unixgram:///path`, or this machine's own.

use std::fmt;

use crate::error::{Error, Result};

/// The port of syslog where none is given.
const PORT: &str = "514";

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// This machine's syslog, wherever it listens.
    Local,
    /// `host:port`.
    Udp(String),
    /// `host:port`.
    Tcp(String),
    /// A socket that takes datagrams.
    Datagram(String),
    /// A socket that takes a stream.
    Stream(String),
}

impl Address {
    /// Reads the option `syslog-address`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Address::Local);
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        match scheme {
            "udp" => Ok(Address::Udp(with_port(rest)?)),
            "tcp" => Ok(Address::Tcp(with_port(rest)?)),
            "unix" => Ok(Address::Stream(rest.to_owned())),
            "unixgram" => Ok(Address::Datagram(rest.to_owned())),
            "tcp+tls" => Err(Error::unimplemented(format!(
                "the syslog address {text}: tcp+tls isn't supported"
            ))),
            other => Err(Error::invalid(format!("unsupported scheme: '{other}'"))),
        }
    }
}

fn with_port(host: &str) -> Result<String> {
    let host = host.trim_end_matches('/');
    if host.is_empty() {
        return Err(Error::invalid("syslog-address: there is no host in it"));
    }
    let bare = if host.starts_with('[') { host.ends_with(']') } else { !host.contains(':') };
    Ok(if bare { format!("{host}:{PORT}") } else { host.to_owned() })
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Local => write!(out, "of this host"),
            Address::Udp(host) => write!(out, "udp://{host}"),
            Address::Tcp(host) => write!(out, "tcp://{host}"),
            Address::Datagram(path) => write!(out, "unixgram://{path}"),
            Address::Stream(path) => write!(out, "unix://{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_port() {
        let parse = |text| Address::parse(text).unwrap();
        assert_eq!(parse(""), Address::Local);
        assert_eq!(parse("udp://logs"), Address::Udp("logs:514".into()));
        assert_eq!(parse("udp://[::1]"), Address::Udp("[::1]:514".into()));
        assert_eq!(parse("tcp://[::1]:5"), Address::Tcp("[::1]:5".into()));
        assert_eq!(parse("unixgram:///dev/log"), Address::Datagram("/dev/log".into()));
        assert!(Address::parse("udp://").is_err());
        assert!(Address::parse("logs:514").is_err());
    }
}
