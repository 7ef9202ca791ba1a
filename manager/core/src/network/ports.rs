//! Which of the host's ports are published, and the sockets that keep other programs off them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::endpoint::{PortChoice, PortRequest, Protocol, PublishedPort};
use super::ephemeral::Ephemeral;
use super::reservation::{self, Unbound};
use crate::error::{Error, Kind, Result};

/// The host's ports that this manager's containers have.
#[derive(Default)]
pub(super) struct HostPorts {
    taken: Mutex<Taken>,
    /// The ephemeral port that was chosen last. The next one is sought after it, so that a port
    /// isn't given to another container right after the last one has left it.
    last_ephemeral: AtomicU16,
}

/// On which addresses of the host a port is taken, each with the container that has it.
type Taken = HashMap<(Protocol, u16), Vec<(Ipv4Addr, String)>>;

/// What [`HostPorts::publish`] has to know beside the requests.
pub(super) struct Target<'a> {
    /// Whose the ports will be.
    pub(super) owner: &'a str,
    /// The host's address for requests that name none.
    pub(super) default_bind: Ipv4Addr,
    /// The container's address, for what people read.
    pub(super) container: Ipv4Addr,
}

/// A port that is taken, with the socket that shows it to the rest of the host.
pub(super) type Reserved = (PublishedPort, OwnedFd);

impl HostPorts {
    /// Chooses and reserves a port of the host for every request, or for none.
    ///
    /// # Errors
    /// Says which port can't be had, in the words that docker has for it.
    pub(super) fn publish(
        &self,
        requests: &[PortRequest],
        target: &Target<'_>,
    ) -> Result<Vec<Reserved>> {
        let mut reserved: Vec<Reserved> = Vec::with_capacity(requests.len());
        for request in requests {
            match self.publish_one(request, target) {
                Ok(port) => reserved.push(port),
                Err(error) => {
                    self.release(target.owner, reserved.iter().map(|(port, _)| port));
                    return Err(error);
                }
            }
        }
        Ok(reserved)
    }

    /// Counts these ports as taken by a container.
    pub(super) fn adopt(&self, owner: &str, ports: &[PublishedPort]) {
        let mut taken = self.taken();
        for port in ports {
            let key = (port.protocol, port.host_port);
            taken.entry(key).or_default().push((port.host_ip, owner.to_owned()));
        }
    }

    /// Frees those of these ports that the container still has.
    pub(super) fn release<'a>(
        &self,
        owner: &str,
        ports: impl IntoIterator<Item = &'a PublishedPort>,
    ) {
        let mut taken = self.taken();
        for port in ports {
            let key = (port.protocol, port.host_port);
            if let Some(addresses) = taken.get_mut(&key) {
                addresses.retain(|(ip, holder)| *ip != port.host_ip || holder != owner);
                if addresses.is_empty() {
                    taken.remove(&key);
                }
            }
        }
    }

    fn publish_one(&self, request: &PortRequest, target: &Target<'_>) -> Result<Reserved> {
        let host_ip = match request.host_ip {
            None => target.default_bind,
            Some(IpAddr::V4(address)) => address,
            Some(IpAddr::V6(address)) => {
                return Err(Error::unsupported(format!(
                    "publishing on the IPv6 address {address} (containers have no IPv6 address)"
                )));
            }
        };
        let publish = |host_port| {
            let PortRequest { container_port, protocol, .. } = *request;
            let port = PublishedPort { container_port, protocol, host_ip, host_port };
            self.take(&port, target).map(|socket| (port, socket))
        };
        let mut failure = None;
        for host_port in self.candidates(request.host_port)? {
            match publish(host_port) {
                Ok(reserved) => {
                    if request.host_port == PortChoice::Ephemeral {
                        self.last_ephemeral.store(host_port, Ordering::Relaxed);
                    }
                    return Ok(reserved);
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(match (failure, request.host_port) {
            (Some(error), PortChoice::Fixed(_)) => error,
            (Some(error), _) => error.while_doing("all ports are allocated; the last one tried"),
            (None, _) => {
                Error::new(Kind::Exhausted, "all ephemeral ports are reserved on this host")
            }
        })
    }

    /// The ports to try, in this order.
    fn candidates(&self, choice: PortChoice) -> Result<Box<dyn Iterator<Item = u16>>> {
        match choice {
            PortChoice::Fixed(port) => Ok(Box::new(std::iter::once(port))),
            PortChoice::Range { first, last } if first <= last => Ok(Box::new(first..=last)),
            PortChoice::Range { first, last } => {
                Err(Error::invalid(format!("invalid port range: {first}-{last}")))
            }
            PortChoice::Ephemeral => {
                let last = self.last_ephemeral.load(Ordering::Relaxed);
                Ok(Box::new(Ephemeral::read().after(last)))
            }
        }
    }

    fn take(&self, port: &PublishedPort, target: &Target<'_>) -> Result<OwnedFd> {
        let PublishedPort { host_ip, host_port, protocol, container_port } = port;
        let mut taken = self.taken();
        let others = taken.get(&(*protocol, *host_port)).map_or(&[][..], Vec::as_slice);
        let overlaps = |(other, _): &(Ipv4Addr, String)| {
            other == host_ip || other.is_unspecified() || host_ip.is_unspecified()
        };
        if others.iter().any(overlaps) {
            return Err(Error::system(format!(
                "Bind for {host_ip}:{host_port} failed: port is already allocated"
            )));
        }
        let socket =
            reservation::bind(*protocol, *host_ip, *host_port).map_err(|Unbound(reason)| {
                let container = target.container;
                Error::system(format!(
                    "failed to bind host port for \
                     {host_ip}:{host_port}:{container}:{container_port}/{protocol}: {reason}"
                ))
            })?;
        taken.entry((*protocol, *host_port)).or_default().push((*host_ip, target.owner.to_owned()));
        Ok(socket)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
