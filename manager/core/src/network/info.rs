//! What can be read about a network.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::family::{ByFamily, Family};

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
    /// Which kinds of addresses its containers get.
    pub families: ByFamily<bool>,
    /// Its addresses; none where it gives out none.
    pub subnets: Vec<Subnet>,
    /// What its user said of its addresses; what was chosen is in `subnets`.
    pub ipam: Ipam,
    /// The driver's settings, by the names that clients know.
    pub options: BTreeMap<String, String>,
    /// Its user's notes.
    pub labels: BTreeMap<String, String>,
    /// Whether its containers reach nothing else, and nothing else reaches them.
    pub internal: bool,
    /// Whether containers that belong to no service may join; kept for clients.
    pub attachable: bool,
    /// Whether it is only what other networks are made from.
    pub config_only: bool,
    /// The network that it was made from.
    pub config_from: Option<String>,
    /// Whether it is one of those that are always there.
    pub predefined: bool,
}

/// What a user says of a network's addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    /// Options of who gives out addresses; kept for clients, which tell none from no word of them.
    pub options: Option<BTreeMap<String, String>>,
    /// The addresses; none of a kind: they are chosen.
    pub pools: Vec<Pool>,
}

impl Ipam {
    /// What is said of addresses of this kind.
    pub fn pools_of(&self, family: Family) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(move |pool| pool.family() == family)
    }
}

/// The addresses that a user wants a network to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// All of them; with length 0, they are chosen.
    pub subnet: IpNet,
    /// Those that containers get which name none.
    pub range: Option<IpNet>,
    /// The host's.
    pub gateway: Option<IpAddr>,
    /// Those that other hosts have, by their names.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

impl Pool {
    /// A subnet about which nothing else is said.
    pub fn of(subnet: IpNet) -> Self {
        Self { subnet, range: None, gateway: None, auxiliary: BTreeMap::new() }
    }

    /// The kind of its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.subnet.addr())
    }

    /// Whether its addresses are to be chosen.
    pub(super) fn is_left_open(&self) -> bool {
        self.subnet.addr().is_unspecified()
    }
}

/// The addresses of a network, of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// All of them.
    pub net: IpNet,
    /// The host's address among them, by which the containers reach everything else; none where the
    /// host has none.
    pub gateway: Option<IpAddr>,
}

impl Subnet {
    /// The subnet in which the host has the address `gateway`.
    pub(super) fn of(gateway: IpAddr, prefix_length: u8) -> Self {
        let longest = Family::of(gateway).bits();
        // It is no longer than an address, so this is it.
        let net =
            IpNet::new(gateway, prefix_length.min(longest)).unwrap_or_else(|_| gateway.into());
        Self { net: net.trunc(), gateway: Some(gateway) }
    }

    /// The kind of its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.net.addr())
    }

    /// How many leading bits its addresses have in common.
    pub fn prefix_length(&self) -> u8 {
        self.net.prefix_len()
    }

    /// Whether this is one of its addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.net.contains(&address)
    }

    /// Whether the two have an address in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        overlap(&self.net, &other.net)
    }
}

/// Whether the two have an address in common.
pub(super) fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.net.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_knows_its_neighbours() {
        let subnet = |gateway: &str, prefix| Subnet::of(gateway.parse().unwrap(), prefix);
        let ours = subnet("172.17.0.1", 16);
        assert_eq!(ours.to_string(), "172.17.0.0/16");
        assert!(ours.overlaps(&subnet("172.17.9.9", 32)) && ours.overlaps(&subnet("172.0.0.1", 8)));
        assert!(!ours.overlaps(&subnet("172.18.0.1", 16)));
        let newer = subnet("fd00:1::1", 64);
        assert!(newer.overlaps(&subnet("fd00:1::9", 128)) && !newer.overlaps(&ours));
        assert!(newer.contains("fd00:1::ffff".parse().unwrap()));
    }
}
