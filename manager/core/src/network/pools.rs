//! Where networks get their addresses from that name none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sha2::{Digest, Sha256};

use super::family::{Family, number};
use super::info::Subnet;
use super::surroundings::Surroundings;
use crate::error::{Error, Kind, Result};

/// A range of addresses that is cut into subnets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    /// All of it.
    pub base: IpNet,
    /// The prefix length of the subnets.
    pub size: u8,
}

/// All pools of a manager.
pub(super) struct Pools(Vec<AddressPool>);

impl AddressPool {
    fn family(&self) -> Family {
        Family::of(self.base.addr())
    }

    /// The subnets, each with the host's address.
    fn subnets(&self) -> impl Iterator<Item = Subnet> + use<> {
        let family = self.family();
        let subnets = self.base.trunc().subnets(self.size).into_iter().flatten();
        subnets.map(move |net| {
            let gateway = family.numbered(number(net.network()).saturating_add(1));
            Subnet::of(gateway, net.prefix_len())
        })
    }
}

impl Pools {
    /// Those that are `wanted`, or else docker's. If none of them is of IPv6, the networks' are of a
    /// range that follows from `seed`, so that two hosts hardly ever have the same.
    pub(super) fn new(wanted: &[AddressPool], seed: &str) -> Self {
        let mut pools = match wanted {
            [] => dockers(),
            wanted => wanted.to_vec(),
        };
        if !pools.iter().any(|pool| pool.family() == Family::V6) {
            pools.push(AddressPool { base: unique_local(seed), size: 64 });
        }
        Self(pools)
    }

    /// The first subnet of this kind of which nobody around uses anything.
    ///
    /// # Errors
    /// [`Kind::Exhausted`] if there is none.
    pub(super) fn choose(&self, family: Family, around: &Surroundings) -> Result<Subnet> {
        let pools = self.0.iter().filter(|pool| pool.family() == family);
        pools.flat_map(AddressPool::subnets).find(|subnet| around.leave_free(subnet)).ok_or_else(
            || {
                Error::new(
                    Kind::Exhausted,
                    "all predefined address pools have been fully subnetted: remove networks that \
                     nobody needs, give the network a subnet, or set default-address-pools",
                )
            },
        )
    }
}

/// The ranges that docker has by itself.
fn dockers() -> Vec<AddressPool> {
    let pool = |a, b, prefix, size| {
        let base = Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix);
        AddressPool { base: base.into(), size }
    };
    (17..=31).map(|second| pool(172, second, 16, 16)).chain([pool(192, 168, 16, 20)]).collect()
}

/// A range of 2^16 subnets that is unique with all likelihood, as RFC 4193 has it.
fn unique_local(seed: &str) -> IpNet {
    let digest = Sha256::digest(seed);
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&digest[..5]);
    let address = Ipv6Addr::from(octets);
    Ipv6Net::new_assert(address, 48).into()
}

/// The lowest address of a subnet that the host can have.
pub(super) fn lowest(net: IpNet) -> IpAddr {
    Family::of(net.addr()).numbered(number(net.network()).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(pools: &Pools, family: Family, around: &mut Surroundings) -> String {
        let subnet = pools.choose(family, around).unwrap();
        around.taken.push(subnet);
        subnet.to_string()
    }

    #[test]
    fn each_network_gets_the_next_subnet() {
        let pool = |base: &str, size| AddressPool { base: base.parse().unwrap(), size };
        let pools = Pools::new(&[pool("10.5.0.0/23", 24), pool("10.9.0.0/24", 25)], "seed");
        let mut around = Surroundings::default();
        for expected in ["10.5.0.0/24", "10.5.1.0/24", "10.9.0.0/25", "10.9.0.128/25"] {
            assert_eq!(chosen(&pools, Family::V4, &mut around), expected);
        }
        assert_eq!(pools.choose(Family::V4, &around).unwrap_err().kind(), Kind::Exhausted);
        let first = chosen(&pools, Family::V6, &mut around);
        assert!(first.starts_with("fd") && first.ends_with("::/64"), "{first}");
        let second = chosen(&pools, Family::V6, &mut around);
        assert_ne!(first, second);
        assert_eq!(
            first,
            chosen(&Pools::new(&[], "seed"), Family::V6, &mut Surroundings::default())
        );
        let other = chosen(&Pools::new(&[], "other"), Family::V6, &mut Surroundings::default());
        assert_ne!(first, other);
    }
}
