//! Which addresses the bridge has: those that its owner wants, or else those that it has, or else
//! some that nobody on this host uses.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::config;
use crate::error::{Error, Kind, Result};
use crate::network::info::Subnet;
use crate::network::kernel::netlink::Netlink;
use crate::network::kernel::route::Route;
use crate::store::{Store, Table};

/// What was chosen before, by the bridge's name.
const CHOSEN: Table<Chosen> = Table::new("bridge_subnets");

/// The host's address in the subnet that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Chosen {
    address: Ipv4Addr,
    prefix_length: u8,
}

/// The addresses that the bridge shall have. What is chosen now is chosen again at every start, as
/// long as it is free.
///
/// # Errors
/// `Invalid` for a subnet that no bridge can have, `Conflict` if another interface has the one
/// that is asked for, `Exhausted` if none is asked for and none is free.
pub(in crate::network) fn settle(
    store: &Store,
    netlink: &Netlink,
    settings: &config::Bridge,
    others: &[Subnet],
) -> Result<Subnet> {
    let mut surroundings = Surroundings::read(netlink, &settings.name)?;
    surroundings.taken = others.to_vec();
    match settings.address {
        Some(config::InterfaceAddress { address, prefix_length }) => {
            let subnet = checked(address, prefix_length)?;
            surroundings.neighbour_in(&subnet).map_or(Ok(subnet), |(address, length)| {
                Err(Error::conflict(format!(
                    "the bridge's subnet {subnet} overlaps with {address}/{length}, which another \
                     interface of this host has; give the bridge another address (bip)"
                )))
            })
        }
        None => {
            let before = store.get(&CHOSEN, &settings.name)?;
            let subnet = choose(&surroundings, before, &settings.name)?;
            let now = Chosen { address: subnet.gateway, prefix_length: subnet.prefix_length };
            if before != Some(now) {
                tracing::info!(bridge = settings.name, %subnet, "the bridge's subnet is chosen");
                store.write(|change| change.put(&CHOSEN, &settings.name, &now))?;
            }
            Ok(subnet)
        }
    }
}

/// Addresses for the bridge of a new network, whose name is `bridge`: some that nobody on this host
/// uses, and none of `taken`.
///
/// # Errors
/// `Exhausted` if there are none.
pub(in crate::network) fn choose_for_network(
    netlink: &Netlink,
    bridge: &str,
    taken: Vec<Subnet>,
) -> Result<Subnet> {
    let surroundings = Surroundings { taken, ..Surroundings::read(netlink, bridge)? };
    pools().find(|subnet| surroundings.leave_free(subnet)).ok_or_else(|| {
        Error::new(
            Kind::Exhausted,
            "all predefined address pools have been fully subnetted: remove networks that nobody \
             needs, or give the network a subnet",
        )
    })
}

fn choose(surroundings: &Surroundings, before: Option<Chosen>, bridge: &str) -> Result<Subnet> {
    if let Some((address, length)) = surroundings.own {
        let subnet = checked(address, length)?;
        if let Some((address, length)) = surroundings.neighbour_in(&subnet) {
            tracing::warn!(bridge, %subnet, "{address}/{length} of another interface overlaps");
        }
        return Ok(subnet);
    }
    if let Some(before) = before {
        let subnet = checked(before.address, before.prefix_length)?;
        if surroundings.leave_free(&subnet) {
            return Ok(subnet);
        }
        tracing::warn!(bridge, %subnet, "others use the bridge's subnet now; it gets another");
    }
    pools().find(|subnet| surroundings.leave_free(subnet)).ok_or_else(|| {
        Error::new(
            Kind::Exhausted,
            "all of 172.17.0.0/16 to 172.31.0.0/16 and 192.168.0.0/16 is in use on this host; give \
             the bridge an address (bip)",
        )
    })
}

/// The subnets to choose from, in this order: docker's.
fn pools() -> impl Iterator<Item = Subnet> {
    let wide = (17..=31).map(|second| Subnet::of(Ipv4Addr::new(172, second, 0, 1), 16));
    let narrow = (0..=u8::MAX).step_by(16);
    wide.chain(narrow.map(|third| Subnet::of(Ipv4Addr::new(192, 168, third, 1), 20)))
}

/// The subnet, if a bridge can have this address in it.
fn checked(address: Ipv4Addr, prefix_length: u8) -> Result<Subnet> {
    let subnet = Subnet::of(address, prefix_length);
    if !(8..=30).contains(&prefix_length)
        || address == subnet.network
        || address == subnet.broadcast()
    {
        return Err(Error::invalid(format!(
            "the bridge's address {address}/{prefix_length} must be one that a host can have, in a \
             subnet of /8 to /30"
        )));
    }
    Ok(subnet)
}

/// Who on this host uses which addresses.
struct Surroundings {
    /// The bridge's own address, if it is there and has one.
    own: Option<(Ipv4Addr, u8)>,
    /// Those of all other interfaces.
    neighbours: Vec<(Ipv4Addr, u8)>,
    /// Those that lead to other interfaces.
    routes: Vec<Route>,
    /// Those that names are asked of.
    name_servers: Vec<Ipv4Addr>,
    /// Those of networks, which may not be there yet.
    taken: Vec<Subnet>,
}

impl Surroundings {
    fn read(netlink: &Netlink, bridge: &str) -> Result<Self> {
        let index = netlink.index(bridge).ok();
        let (own, neighbours): (Vec<_>, Vec<_>) =
            netlink.addresses()?.into_iter().partition(|(link, ..)| Some(*link) == index);
        let without_link = |(_, address, length)| (address, length);
        let is_elsewhere = |route: &Route| index.is_none() || route.link != index;
        let resolver = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let name_server = |line: &str| line.strip_prefix("nameserver")?.trim().parse().ok();
        Ok(Self {
            own: own.into_iter().map(without_link).find(|(address, _)| !address.is_link_local()),
            neighbours: neighbours.into_iter().map(without_link).collect(),
            routes: netlink.routes()?.into_iter().filter(is_elsewhere).collect(),
            name_servers: resolver.lines().filter_map(name_server).collect(),
            taken: Vec::new(),
        })
    }

    /// An address of another interface whose subnet overlaps with this one.
    fn neighbour_in(&self, subnet: &Subnet) -> Option<(Ipv4Addr, u8)> {
        let overlaps =
            |(address, length): &&(Ipv4Addr, u8)| Subnet::of(*address, *length).overlaps(subnet);
        self.neighbours.iter().find(overlaps).copied()
    }

    /// Whether the bridge can have this subnet without taking anything away from others. A route
    /// that is wider and leads to another host is no obstacle: it says little about which of its
    /// addresses are in use (a VPN's may lead to all there are), and works on for all but these.
    fn leave_free(&self, subnet: &Subnet) -> bool {
        let is_obstacle = |route: &Route| {
            Subnet::of(route.destination, route.prefix_length).overlaps(subnet)
                && (route.is_on_link || route.prefix_length >= subnet.prefix_length)
        };
        let name_server_in = |address: &Ipv4Addr| Subnet::of(*address, 32).overlaps(subnet);
        self.neighbour_in(subnet).is_none()
            && !self.taken.iter().any(|taken| taken.overlaps(subnet))
            && !self.routes.iter().any(is_obstacle)
            && !self.name_servers.iter().any(name_server_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings() -> Surroundings {
        Surroundings {
            own: None,
            neighbours: vec![],
            routes: vec![],
            name_servers: vec![],
            taken: vec![],
        }
    }

    fn route(destination: [u8; 4], prefix_length: u8, is_on_link: bool) -> Route {
        Route { destination: destination.into(), prefix_length, link: Some(2), is_on_link }
    }

    fn chosen(surroundings: &Surroundings) -> String {
        choose(surroundings, None, "tare0").unwrap().to_string()
    }

    #[test]
    fn the_first_that_nobody_uses_is_chosen() {
        let mut around = surroundings();
        assert_eq!(chosen(&around), "172.17.0.0/16");
        around.neighbours.push((Ipv4Addr::new(172, 17, 3, 4), 24));
        around.routes.push(route([172, 18, 0, 0], 15, true));
        around.name_servers.push(Ipv4Addr::new(172, 20, 0, 53));
        around.routes.push(route([172, 21, 9, 0], 24, false));
        assert_eq!(chosen(&around), "172.22.0.0/16");
        // A wide route to a VPN's other end takes nothing.
        around.routes.push(route([172, 16, 0, 0], 12, false));
        around.routes.push(route([128, 0, 0, 0], 1, false));
        assert_eq!(chosen(&around), "172.22.0.0/16");
        around.routes.push(route([172, 16, 0, 0], 12, true));
        around.neighbours.push((Ipv4Addr::new(192, 168, 1, 20), 24));
        assert_eq!(chosen(&around), "192.168.16.0/20");
        around.neighbours.push((Ipv4Addr::new(192, 168, 1, 20), 16));
        assert_eq!(choose(&around, None, "tare0").unwrap_err().kind(), Kind::Exhausted);
    }

    #[test]
    fn what_the_bridge_has_and_then_what_it_had_is_kept() {
        let mut around = surroundings();
        let before = Some(Chosen { address: Ipv4Addr::new(172, 19, 0, 1), prefix_length: 16 });
        let choice = |around: &Surroundings| choose(around, before, "tare0").unwrap().to_string();
        assert_eq!(choice(&around), "172.19.0.0/16");
        around.neighbours.push((Ipv4Addr::new(172, 19, 0, 9), 24));
        assert_eq!(choice(&around), "172.17.0.0/16");
        around.own = Some((Ipv4Addr::new(172, 19, 0, 1), 16));
        assert_eq!(choice(&around), "172.19.0.0/16");
    }
}
