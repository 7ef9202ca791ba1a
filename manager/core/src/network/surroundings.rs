//! Who on this host uses which addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::info::{Subnet, overlap};
use super::kernel::netlink::Netlink;
use super::kernel::route::Route;
use crate::error::Result;

/// Who on this host uses which addresses, beside one bridge.
#[derive(Default)]
pub(super) struct Surroundings {
    /// The bridge's own addresses, if it is there and has some.
    pub(super) own: Vec<IpNet>,
    /// Those of all other interfaces.
    pub(super) neighbours: Vec<IpNet>,
    /// Those that lead to other interfaces.
    pub(super) routes: Vec<Route>,
    /// Those that names are asked of.
    pub(super) name_servers: Vec<IpAddr>,
    /// Those of networks, which may not be there yet.
    pub(super) taken: Vec<Subnet>,
}

impl Surroundings {
    /// What there is around the bridge of this name, and the subnets of networks that are `taken`.
    pub(super) fn read(netlink: &Netlink, bridge: &str, taken: Vec<Subnet>) -> Result<Self> {
        let index = netlink.index(bridge).ok();
        let (own, neighbours): (Vec<_>, Vec<_>) =
            netlink.addresses()?.into_iter().partition(|(link, _)| Some(*link) == index);
        let without_link = |(_, address)| address;
        let is_elsewhere = |route: &Route| index.is_none() || route.link != index;
        let resolver = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let name_server = |line: &str| line.strip_prefix("nameserver")?.trim().parse().ok();
        Ok(Self {
            own: own.into_iter().map(without_link).filter(|own| !is_link_local(own)).collect(),
            neighbours: neighbours.into_iter().map(without_link).collect(),
            routes: netlink.routes()?.into_iter().filter(is_elsewhere).collect(),
            name_servers: resolver.lines().filter_map(name_server).collect(),
            taken,
        })
    }

    /// An address of another interface whose subnet overlaps with this one. Addresses that are good for
    /// one link alone are the same on all.
    pub(super) fn neighbour_in(&self, subnet: &Subnet) -> Option<IpNet> {
        let is_shared = |neighbour: &IpNet| neighbour.addr().is_ipv6() && is_link_local(neighbour);
        let mut others = self.neighbours.iter().copied().filter(|neighbour| !is_shared(neighbour));
        others.find(|neighbour| overlap(neighbour, &subnet.net))
    }

    /// Whether another network has some of these addresses.
    pub(super) fn network_in(&self, subnet: &Subnet) -> bool {
        self.taken.iter().any(|taken| taken.overlaps(subnet))
    }

    /// Whether a bridge can have this subnet without taking anything away from others. A route
    /// that is wider and leads to another host is no obstacle: it says little about which of its
    /// addresses are in use (a VPN's may lead to all there are), and works on for all but these.
    pub(super) fn leave_free(&self, subnet: &Subnet) -> bool {
        let is_obstacle = |route: &Route| {
            overlap(&route.destination, &subnet.net)
                && (route.is_on_link || route.destination.prefix_len() >= subnet.prefix_length())
        };
        self.neighbour_in(subnet).is_none()
            && !self.network_in(subnet)
            && !self.routes.iter().any(is_obstacle)
            && !self.name_servers.iter().any(|address| subnet.contains(*address))
    }
}

fn is_link_local(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.addr().is_link_local(),
        IpNet::V6(net) => net.addr().is_unicast_link_local(),
    }
}
