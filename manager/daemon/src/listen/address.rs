//! What `--host` says: where to serve.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// The kernel's limit for a socket's path: 108 bytes with the zero at its end.
const MAX_PATH: usize = 107;

/// The host and ports of `tcp://` with nothing after it; the second port is the one with TLS.
const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORTS: [u16; 2] = [2375, 2376];

/// Where the docker command line looks first.
const DEFAULT_PATH: &str = "/var/run/docker.sock";

/// Where to serve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    /// `unix://PATH`.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`; no port: docker's.
    Tcp { host: String, port: Option<u16> },
    /// `fd://`: on sockets that whoever started this program has opened for it.
    Inherited(Inherited),
}

/// Which of the sockets that were handed over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Inherited {
    /// All of them.
    All,
    /// The descriptor with this number; the first is 3.
    Number(u32),
    /// Those of this name in `LISTEN_FDNAMES`.
    Named(String),
}

impl Address {
    /// The port of an address on the network, by whether it has TLS.
    pub(crate) fn default_port(encrypted: bool) -> u16 {
        DEFAULT_PORTS[usize::from(encrypted)]
    }

    /// Where to serve if nothing was said but that there is to be TLS: on this machine's loopback.
    pub(crate) fn default_encrypted() -> Self {
        Self::Tcp { host: DEFAULT_HOST.to_owned(), port: None }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |reason: String| {
            Error::setting("hosts", format!("invalid bind address ({text}): {reason}"))
        };
        match text.split_once("://") {
            Some(("unix", path)) => unix(path).map_err(refused),
            Some(("tcp", place)) => tcp(place).map_err(refused),
            Some(("fd", which)) => Ok(Self::Inherited(inherited(which))),
            Some((other, _)) => Err(refused(format!("unsupported proto '{other}'"))),
            None => tcp(text).map_err(refused),
        }
    }
}

fn unix(path: &str) -> Result<Address, String> {
    let path = if path.is_empty() { DEFAULT_PATH } else { path };
    if !path.starts_with('/') || path.len() > MAX_PATH {
        return Err(format!("{path:?} is no absolute path of up to {MAX_PATH} bytes"));
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

fn tcp(place: &str) -> Result<Address, String> {
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains('/') {
        return Err("should not contain a path element".to_owned());
    }
    // An IPv6 address is in brackets: its colons are no ports.
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or("no port after ']'")?)),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        None | Some("") => None,
        Some(text) => match text.parse::<u16>() {
            Ok(port @ 1..) => Some(port),
            Ok(0) | Err(_) => return Err(format!("invalid port: {text}")),
        },
    };
    let host = if host.is_empty() { DEFAULT_HOST } else { host };
    Ok(Address::Tcp { host: host.to_owned(), port })
}

fn inherited(which: &str) -> Inherited {
    match which {
        "" | "*" => Inherited::All,
        which => match which.parse() {
            Ok(number) => Inherited::Number(number),
            Err(_) => Inherited::Named(which.to_owned()),
        },
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } => {
                match host.contains(':') {
                    true => write!(f, "tcp://[{host}]")?,
                    false => write!(f, "tcp://{host}")?,
                }
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::Inherited(Inherited::All) => f.write_str("fd://"),
            Self::Inherited(Inherited::Number(number)) => write!(f, "fd://{number}"),
            Self::Inherited(Inherited::Named(name)) => write!(f, "fd://{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        for (text, shown) in [
            ("unix:///a/b", "unix:///a/b"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("tcp://0.0.0.0:2375", "tcp://0.0.0.0:2375"),
            ("tcp://[::1]:2376", "tcp://[::1]:2376"),
            ("tcp://[::1]", "tcp://[::1]"),
            ("tcp://", "tcp://localhost"),
            (":2375", "tcp://localhost:2375"),
            ("build.example:4243/", "tcp://build.example:4243"),
            ("fd://", "fd://"),
            ("fd://*", "fd://"),
            ("fd://4", "fd://4"),
            ("fd://docker.socket", "fd://docker.socket"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_shown() {
        let long = format!("unix:///{}", "x".repeat(200));
        for text in [
            "unix://relative",
            "tcp://a:0",
            "tcp://a:b",
            "tcp://a:70000",
            "tcp://a:1/b",
            "npipe:////./pipe/docker_engine",
            "tcp://[::1]2375",
            &long,
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(&format!("invalid bind address ({text})")), "{error}");
        }
    }
}
