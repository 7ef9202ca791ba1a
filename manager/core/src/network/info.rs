//! What can be read about a network.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A network as lists and inspections show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInfo {
    /// Its id: 64 hexadecimal digits, the same at every start.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The name of its driver: `bridge`, `host` or `null`.
    pub driver: &'static str,
    /// When it was first made.
    pub created: Timestamp,
    /// Its addresses; none where it gives out none.
    pub subnet: Option<Subnet>,
    /// What its user said of its addresses; none: what was chosen is in `subnet`.
    pub ipam: Ipam,
    /// The driver's settings, by the names that clients know.
    pub options: BTreeMap<String, String>,
    /// Its user's notes.
    pub labels: BTreeMap<String, String>,
    /// Whether its containers reach nothing else, and nothing else reaches them.
    pub internal: bool,
    /// Whether containers that belong to no service may join; kept for clients.
    pub attachable: bool,
    /// Whether it is one of those that are always there.
    pub predefined: bool,
}

/// What a user says of a network's addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    /// Options of who gives out addresses; kept for clients, which tell none from no word of them.
    pub options: Option<BTreeMap<String, String>>,
    /// The addresses; none: they are chosen.
    pub pool: Option<Pool>,
}

/// The addresses that a user wants a network to have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// All of them; none: they are chosen.
    pub subnet: Option<Ipv4Net>,
    /// Those that containers get which name none.
    pub range: Option<Ipv4Net>,
    /// The host's.
    pub gateway: Option<Ipv4Addr>,
    /// Those that other hosts have, by their names.
    pub auxiliary: BTreeMap<String, Ipv4Addr>,
}

/// The addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The lowest address: the subnet's own.
    pub network: Ipv4Addr,
    /// How many leading bits its addresses have in common.
    pub prefix_length: u8,
    /// The host's address in it, by which the containers reach everything else.
    pub gateway: Ipv4Addr,
}

impl Subnet {
    /// The subnet in which the host has the address `gateway`.
    pub(super) fn of(gateway: Ipv4Addr, prefix_length: u8) -> Self {
        let hosts = u32::MAX.checked_shr(prefix_length.into()).unwrap_or(0);
        let network = Ipv4Addr::from(u32::from(gateway) & !hosts);
        Self { network, prefix_length, gateway }
    }

    /// The highest address: the one that all of the subnet listens to.
    pub(super) fn broadcast(&self) -> Ipv4Addr {
        let hosts = u32::MAX.checked_shr(self.prefix_length.into()).unwrap_or(0);
        Ipv4Addr::from(u32::from(self.network) | hosts)
    }

    /// Whether this is one of its addresses.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.network..=self.broadcast()).contains(&address)
    }

    /// Whether the two have an address in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.network <= other.broadcast() && other.network <= self.broadcast()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_knows_its_ends_and_its_neighbours() {
        let subnet = |a, b, c, d, prefix| Subnet::of(Ipv4Addr::new(a, b, c, d), prefix);
        let ours = subnet(172, 17, 0, 1, 16);
        assert_eq!(ours.to_string(), "172.17.0.0/16");
        assert_eq!(ours.broadcast(), Ipv4Addr::new(172, 17, 255, 255));
        assert!(
            ours.overlaps(&subnet(172, 17, 9, 9, 32)) && ours.overlaps(&subnet(172, 0, 0, 1, 8))
        );
        assert!(!ours.overlaps(&subnet(172, 18, 0, 1, 16)));
    }
}
