//! Where the API is served: unix sockets, the network, and sockets that were handed over.

mod address;
mod inherited;
mod tcp;
mod tls;
mod unix;

use std::sync::Arc;

use tare_docker::Listener;

pub(crate) use address::Address;
pub(crate) use inherited::Handover;
pub(crate) use tls::{TlsSettings, Trust};

use crate::error::Error;
use crate::settings::Group;
use inherited::Handed;

/// A socket that is listened on.
pub(crate) struct Endpoint {
    /// Where, for the log.
    pub(crate) place: String,
    listener: Listening,
}

enum Listening {
    /// Its file is removed when this is dropped.
    Unix(unix::Socket),
    HandedUnix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener, Trust),
}

/// Looks whether what was asked for may be opened; of sockets that were handed over, that is seen
/// only then.
///
/// # Errors
/// [`Error::Setting`] for an address on the network that is open to everyone without having been
/// meant to be.
pub(crate) fn check(addresses: &[Address], trust: &Trust) -> Result<(), Error> {
    let mut on_network = addresses.iter().filter(|address| matches!(address, Address::Tcp { .. }));
    on_network.try_for_each(|address| tcp::check(&address.to_string(), trust))
}

/// Opens what was asked for and [`check`]ed.
///
/// # Errors
/// [`Error::Taken`] when another program listens there.
pub(crate) fn open(
    addresses: &[Address],
    group: &Group,
    trust: &Trust,
    handover: &mut Handover,
) -> Result<Vec<Endpoint>, Error> {
    let mut endpoints = Vec::new();
    for address in addresses {
        let place = address.to_string();
        match address {
            Address::Unix(path) => {
                let socket = unix::Socket::bind(path, group)?;
                endpoints.push(Endpoint { place, listener: Listening::Unix(socket) });
            }
            Address::Tcp { host, port } => {
                tcp::warn(&place, trust);
                let encrypted = matches!(trust, Trust::Encrypted(_) | Trust::Verified(_));
                let port = port.unwrap_or(Address::default_port(encrypted));
                let listener = Listening::Tcp(tcp::bind(host, port)?, trust.clone());
                endpoints.push(Endpoint { place, listener });
            }
            Address::Inherited(which) => {
                for socket in handover.take(which)? {
                    let listener = match socket {
                        Handed::Unix(listener) => Listening::HandedUnix(listener),
                        Handed::Tcp(listener) => {
                            tcp::check(&place, trust)?;
                            tcp::warn(&place, trust);
                            Listening::Tcp(listener, trust.clone())
                        }
                    };
                    endpoints.push(Endpoint { place: place.clone(), listener });
                }
            }
        }
    }
    Ok(endpoints)
}

/// Opens the place for numbers, which are no secret: whoever can reach it may have them.
pub(crate) fn open_metrics(address: &Address) -> Result<Endpoint, Error> {
    let Address::Tcp { host, port: Some(port) } = address else {
        return Err(Error::setting("metrics-addr", format!("{address} is no HOST:PORT")));
    };
    let listener = Listening::Tcp(tcp::bind(host, *port)?, Trust::Everyone);
    Ok(Endpoint { place: format!("http://{host}:{port}/metrics"), listener })
}

/// What `docker info` is to warn of about an address, in docker's words.
pub(crate) fn warning(address: &Address, trust: &Trust) -> Option<String> {
    let Address::Tcp { host, port } = address else { return None };
    let (scheme, lacks) = match trust {
        Trust::Unsaid | Trust::Everyone => ("http", "encryption"),
        Trust::Encrypted(_) => ("https", "TLS client verification"),
        Trust::Verified(_) => return None,
    };
    let port = port.unwrap_or(Address::default_port(scheme == "https"));
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    Some(format!(
        "WARNING: API is accessible on {scheme}://{host}:{port} without {lacks}.\n         Access \
         to the remote API is equivalent to root access on the host. Refer\n         to the \
         'Docker daemon attack surface' section in the documentation for\n         more \
         information: https://docs.docker.com/go/attack-surface/"
    ))
}

impl Endpoint {
    /// The listening socket, ready for the runtime to take over.
    pub(crate) fn listener(&self) -> Result<Listener, Error> {
        let ready = match &self.listener {
            Listening::Unix(socket) => unix_listener(socket.listener()),
            Listening::HandedUnix(listener) => unix_listener(listener),
            Listening::Tcp(listener, trust) => listener.try_clone().and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(Listener::Tcp(tokio::net::TcpListener::from_std(listener)?, encryption(trust)))
            }),
        };
        ready.map_err(|error| Error::system(format!("listen on {}", self.place), error))
    }
}

fn unix_listener(listener: &std::os::unix::net::UnixListener) -> std::io::Result<Listener> {
    let listener = listener.try_clone()?;
    listener.set_nonblocking(true)?;
    Ok(Listener::Unix(tokio::net::UnixListener::from_std(listener)?))
}

fn encryption(trust: &Trust) -> Option<tare_docker::Encryption> {
    match trust {
        Trust::Unsaid | Trust::Everyone => None,
        Trust::Encrypted(server) | Trust::Verified(server) => {
            Some(tare_docker::Encryption::from(Arc::clone(server)))
        }
    }
}
