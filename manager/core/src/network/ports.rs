//! Which of the host's ports are published, and the sockets that keep other programs off them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::endpoint::{PortChoice, PortRequest, Protocol, PublishedPort, Reservation};
use super::ephemeral::Ephemeral;
use super::family::Family;
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
type Taken = HashMap<(Protocol, u16), Vec<(IpAddr, String)>>;

/// What [`HostPorts::publish`] has to know beside the requests.
pub(super) struct Target<'a> {
    /// Whose the ports will be.
    pub(super) owner: &'a str,
    /// By which the container is reached: one for each kind of addresses that it has.
    pub(super) ways: Vec<Way>,
    /// Whether somebody passes on what comes by IPv6 and can't be led to the container.
    pub(super) passes_on: bool,
}

/// A way to a container from outside.
pub(super) struct Way {
    /// The container's address.
    pub(super) container: IpAddr,
    /// The host's address for requests that name none.
    pub(super) default_bind: IpAddr,
    /// Whether the container is reached at its own address alone.
    pub(super) is_routed: bool,
}

/// A port that is taken, with what shows it to the rest of the host; none where the host has no
/// sockets of this protocol.
pub(super) type Reserved = (PublishedPort, Option<Reservation>);

/// Requests for the same port of a container, at several addresses of the host.
struct Group<'a> {
    request: &'a PortRequest,
    places: Vec<Place>,
}

/// An address of the host, and the container's to which a port leads there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    host_ip: IpAddr,
    container: IpAddr,
    is_routed: bool,
    /// Whether the packet filter doesn't lead all of what comes to the container.
    is_passed_on: bool,
}

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
        for group in groups(requests, target)? {
            match self.publish_together(&group, target.owner) {
                Ok(ports) => reserved.extend(ports),
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

    /// The same port at all places of the group.
    fn publish_together(&self, group: &Group<'_>, owner: &str) -> Result<Vec<Reserved>> {
        let PortRequest { container_port, protocol, host_port: choice, .. } = *group.request;
        let port = |place: &Place, host_port| {
            let host_ip = place.host_ip;
            PublishedPort { container_port, protocol, host_ip, host_port }
        };
        let (routed, bound): (Vec<_>, Vec<_>) =
            group.places.iter().copied().partition(|place| place.is_routed);
        let routed = routed.iter().map(|place| (port(place, 0), None));
        if bound.is_empty() {
            return Ok(routed.collect());
        }
        let mut failure = None;
        for host_port in self.candidates(choice)? {
            let ports = bound.iter().map(|place| (port(place, host_port), *place));
            match self.take_all(ports, owner) {
                Ok(taken) => {
                    if choice == PortChoice::Ephemeral {
                        self.last_ephemeral.store(host_port, Ordering::Relaxed);
                    }
                    return Ok(taken.into_iter().chain(routed).collect());
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(match (failure, choice) {
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

    /// Takes all of these ports, or none.
    fn take_all(
        &self,
        ports: impl Iterator<Item = (PublishedPort, Place)>,
        owner: &str,
    ) -> Result<Vec<Reserved>> {
        let mut taken: Vec<Reserved> = Vec::new();
        for (port, place) in ports {
            match self.take(&port, place.container, owner) {
                Ok(socket) => {
                    let target = SocketAddr::new(place.container, port.container_port);
                    let passed_on_to = place.is_passed_on.then_some(target);
                    let reservation = socket.map(|socket| Reservation { socket, passed_on_to });
                    taken.push((port, reservation));
                }
                Err(error) => {
                    self.release(owner, taken.iter().map(|(port, _)| port));
                    return Err(error);
                }
            }
        }
        Ok(taken)
    }

    fn take(
        &self,
        port: &PublishedPort,
        container: IpAddr,
        owner: &str,
    ) -> Result<Option<OwnedFd>> {
        let PublishedPort { host_ip, host_port, protocol, container_port } = port;
        let mut taken = self.taken();
        let others = taken.get(&(*protocol, *host_port)).map_or(&[][..], Vec::as_slice);
        let overlaps = |(other, _): &(IpAddr, String)| {
            Family::of(*other) == Family::of(*host_ip)
                && (other == host_ip || other.is_unspecified() || host_ip.is_unspecified())
        };
        if others.iter().any(overlaps) {
            return Err(Error::system(format!(
                "Bind for {host_ip}:{host_port} failed: port is already allocated"
            )));
        }
        let socket =
            reservation::bind(*protocol, *host_ip, *host_port).map_err(|Unbound(reason)| {
                let (host, container) = (bracketed(*host_ip), bracketed(container));
                Error::system(format!(
                    "failed to bind host port for \
                     {host}:{host_port}:{container}:{container_port}/{protocol}: {reason}"
                ))
            })?;
        taken.entry((*protocol, *host_port)).or_default().push((*host_ip, owner.to_owned()));
        Ok(socket)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The requests, those together that differ in the host's address alone: they get the same port.
fn groups<'a>(requests: &'a [PortRequest], target: &Target<'_>) -> Result<Vec<Group<'a>>> {
    let mut groups: Vec<Group<'a>> = Vec::with_capacity(requests.len());
    for request in requests {
        let places = places(request, target);
        if let (true, Some(host_ip)) = (places.is_empty(), request.host_ip) {
            return Err(Error::unsupported(format!(
                "publishing on the {} address {host_ip}: the container has no address of this kind",
                Family::of(host_ip).name()
            )));
        }
        let same = groups.iter_mut().find(|group| {
            let PortRequest { container_port, protocol, host_port, .. } = *group.request;
            (container_port, protocol, host_port)
                == (request.container_port, request.protocol, request.host_port)
                && !places.iter().any(|place| group.places.contains(place))
        });
        match same {
            Some(group) => group.places.extend(places),
            None => groups.push(Group { request, places }),
        }
    }
    Ok(groups)
}

/// Where on the host a request is to be met: by IPv4 and IPv6 if it names no address and both lead to
/// the container.
fn places(request: &PortRequest, target: &Target<'_>) -> Vec<Place> {
    let passes_on = target.passes_on && request.protocol != Protocol::Sctp;
    let mut places: Vec<_> = target
        .ways
        .iter()
        .filter_map(|way| place(request, way, Family::of(way.container), passes_on))
        .collect();
    let by_ipv4 = match &target.ways[..] {
        [way] if way.container.is_ipv4() && !way.is_routed => Some(way),
        _ => None,
    };
    if passes_on {
        places.extend(by_ipv4.and_then(|way| place(request, way, Family::V6, passes_on)));
    }
    places
}

/// Where on the host a request is to be met by this kind of the host's addresses, if it is.
fn place(request: &PortRequest, way: &Way, family: Family, passes_on: bool) -> Option<Place> {
    let default = match (family, way.default_bind) {
        // Every address of the host means those of the other kind, too.
        (Family::V6, IpAddr::V4(all)) if all.is_unspecified() => family.unspecified(),
        (_, address) => address,
    };
    let named = request.host_ip.unwrap_or(default);
    if Family::of(named) != family {
        return None;
    }
    let host_ip = if way.is_routed { family.unspecified() } else { named };
    // What comes from ::1 can't be led anywhere, nor what comes by IPv6 to IPv4.
    let is_stuck = host_ip.is_unspecified() || host_ip.is_loopback() || way.container.is_ipv4();
    Some(Place {
        host_ip,
        container: way.container,
        is_routed: way.is_routed,
        is_passed_on: passes_on && family == Family::V6 && is_stuck,
    })
}

/// An address as it stands before a port.
fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host_ip: &str, host_port: PortChoice) -> PortRequest {
        let host_ip = (!host_ip.is_empty()).then(|| host_ip.parse().unwrap());
        PortRequest { container_port: 80, protocol: Protocol::Tcp, host_ip, host_port }
    }

    fn target(containers: &[&str], default_bind: &str, is_routed: bool) -> Target<'static> {
        let way = |container: &&str| Way {
            container: container.parse().unwrap(),
            default_bind: default_bind.parse().unwrap(),
            is_routed,
        };
        Target { owner: "web", ways: containers.iter().map(way).collect(), passes_on: false }
    }

    fn hosts(request: &PortRequest, target: &Target<'_>) -> Vec<String> {
        places(request, target).iter().map(|place| place.host_ip.to_string()).collect()
    }

    #[test]
    fn every_address_means_both_kinds_where_the_container_has_both() {
        let both = ["10.0.0.2", "fd00::2"];
        let any = request("", PortChoice::Fixed(8080));
        assert_eq!(hosts(&any, &target(&both, "0.0.0.0", false)), ["0.0.0.0", "::"]);
        assert_eq!(hosts(&any, &target(&both, "127.0.0.1", false)), ["127.0.0.1"]);
        assert_eq!(hosts(&any, &target(&both, "::1", false)), ["::1"]);
        assert_eq!(hosts(&any, &target(&both[..1], "0.0.0.0", false)), ["0.0.0.0"]);
        assert_eq!(hosts(&any, &target(&both[1..], "0.0.0.0", false)), ["::"]);
        assert_eq!(hosts(&any, &target(&both, "127.0.0.1", true)), ["0.0.0.0"]);
        let local = request("::1", PortChoice::Fixed(8080));
        assert_eq!(hosts(&local, &target(&both, "0.0.0.0", false)), ["::1"]);
        let refused = groups(std::slice::from_ref(&local), &target(&both[..1], "0.0.0.0", false));
        assert_eq!(refused.err().unwrap().kind(), Kind::Unsupported);
    }

    #[test]
    fn what_cannot_be_led_there_is_passed_on() {
        let mut older = target(&["10.0.0.2"], "0.0.0.0", false);
        older.passes_on = true;
        let passed_on = |request: &PortRequest, target: &Target<'_>| {
            let places = places(request, target);
            places.iter().map(|place| (place.host_ip.to_string(), place.is_passed_on)).collect()
        };
        let at = |host_ip: &str, is_passed_on| (host_ip.to_owned(), is_passed_on);
        let any = request("", PortChoice::Fixed(8080));
        let found: Vec<_> = passed_on(&any, &older);
        assert_eq!(found, [at("0.0.0.0", false), at("::", true)]);
        let local = request("::1", PortChoice::Fixed(8080));
        let found: Vec<_> = passed_on(&local, &older);
        assert_eq!(found, [at("::1", true)]);
        let mut both = target(&["10.0.0.2", "fd00::2"], "0.0.0.0", false);
        both.passes_on = true;
        let found: Vec<_> = passed_on(&any, &both);
        assert_eq!(found, [at("0.0.0.0", false), at("::", true)]);
        let found: Vec<_> = passed_on(&request("fd09::1", PortChoice::Fixed(1)), &both);
        assert_eq!(found, [at("fd09::1", false)]);
        let sctp = PortRequest { protocol: Protocol::Sctp, ..any };
        let found: Vec<_> = passed_on(&sctp, &older);
        assert_eq!(found, [at("0.0.0.0", false)]);
    }

    #[test]
    fn what_differs_in_the_address_alone_gets_the_same_port() {
        let both = target(&["10.0.0.2", "fd00::2"], "0.0.0.0", false);
        let requests = [
            request("127.0.0.1", PortChoice::Ephemeral),
            request("::1", PortChoice::Ephemeral),
            request("127.0.0.1", PortChoice::Ephemeral),
        ];
        let groups = groups(&requests, &both).unwrap();
        let sizes: Vec<_> = groups.iter().map(|group| group.places.len()).collect();
        assert_eq!(sizes, [2, 1]);
    }
}
