//! Which addresses the default bridge has: those that its owner wants, or else those that it has,
//! or else some that nobody on this host uses.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::error::{Error, Result};
use crate::network::family::{Family, number};
use crate::network::info::Subnet;
use crate::network::pools::{Pools, lowest};
use crate::network::surroundings::Surroundings;
use crate::store::{Store, Table};

/// What was chosen before, by the bridge's name and the kind of address.
const CHOSEN: Table<Chosen> = Table::new("bridge_subnets");

/// The host's address in the subnet that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Chosen {
    address: IpAddr,
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
    around: &Surroundings,
    settings: &config::Bridge,
    pools: &Pools,
) -> Result<Vec<Subnet>> {
    let families = Family::BOTH.into_iter().filter(|family| match family {
        Family::V4 => true,
        Family::V6 => settings.ipv6,
    });
    families.map(|family| settle_one(store, around, settings, pools, family)).collect()
}

fn settle_one(
    store: &Store,
    around: &Surroundings,
    settings: &config::Bridge,
    pools: &Pools,
    family: Family,
) -> Result<Subnet> {
    // A range without an address of the bridge's is all that there is.
    let range = settings.ranges.get(family).map(|range| {
        let (address, length) = (lowest(range), range.prefix_len());
        IpNet::new(address, length).unwrap_or(range)
    });
    match settings.addresses.get(family).or(range) {
        Some(wanted) => {
            let subnet = checked(wanted)?;
            around.neighbour_in(&subnet).map_or(Ok(subnet), |neighbour| {
                Err(Error::conflict(format!(
                    "the bridge's subnet {subnet} overlaps with {neighbour}, which another \
                     interface of this host has; give the bridge another address (bip)"
                )))
            })
        }
        None => {
            let key = match family {
                Family::V4 => settings.name.clone(),
                Family::V6 => format!("{} {}", settings.name, family.name()),
            };
            let before = store.get(&CHOSEN, &key)?;
            let subnet = choose(around, before, settings, pools, family)?;
            let address = subnet.gateway.unwrap_or_else(|| lowest(subnet.net));
            let now = Chosen { address, prefix_length: subnet.prefix_length() };
            if before != Some(now) {
                tracing::info!(bridge = settings.name, %subnet, "the bridge's subnet is chosen");
                store.write(|change| change.put(&CHOSEN, &key, &now))?;
            }
            Ok(subnet)
        }
    }
}

fn choose(
    around: &Surroundings,
    before: Option<Chosen>,
    settings: &config::Bridge,
    pools: &Pools,
    family: Family,
) -> Result<Subnet> {
    let bridge = &settings.name;
    if let Some(own) = around.own.iter().find(|own| Family::of(own.addr()) == family) {
        let subnet = checked(*own)?;
        if let Some(neighbour) = around.neighbour_in(&subnet) {
            tracing::warn!(bridge, %subnet, "{neighbour} of another interface overlaps");
        }
        return Ok(subnet);
    }
    if let Some(before) = before {
        let subnet = Subnet::of(before.address, before.prefix_length);
        if around.leave_free(&subnet) {
            return Ok(subnet);
        }
        tracing::warn!(bridge, %subnet, "others use the bridge's subnet now; it gets another");
    }
    pools.choose(family, around).map_err(|error| {
        error.while_doing("choose addresses for the default network (bip names some)")
    })
}

/// The subnet, if a bridge can have this address in it.
fn checked(wanted: IpNet) -> Result<Subnet> {
    let subnet = Subnet::of(wanted.addr(), wanted.prefix_len());
    let (address, lengths) = match Family::of(wanted.addr()) {
        Family::V4 => (wanted.addr() != wanted.broadcast(), 8..=30),
        Family::V6 => (true, 8..=126),
    };
    if !lengths.contains(&wanted.prefix_len())
        || !address
        || number(wanted.addr()) == number(wanted.network())
    {
        return Err(Error::invalid(format!(
            "the bridge's address {wanted} must be one that a host can have, in a subnet of /{} to \
             /{}",
            lengths.start(),
            lengths.end()
        )));
    }
    Ok(subnet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::network::kernel::route::Route;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn route(destination: &str, is_on_link: bool) -> Route {
        Route { destination: net(destination), link: Some(2), is_on_link }
    }

    fn chosen_after(around: &Surroundings, before: Option<Chosen>) -> Result<String> {
        let settings = config::Bridge::named("tare0");
        let subnet = choose(around, before, &settings, &Pools::new(&[], ""), Family::V4)?;
        Ok(subnet.to_string())
    }

    fn chosen(around: &Surroundings) -> String {
        chosen_after(around, None).unwrap()
    }

    #[test]
    fn the_first_that_nobody_uses_is_chosen() {
        let mut around = Surroundings::default();
        assert_eq!(chosen(&around), "172.17.0.0/16");
        around.neighbours.push(net("172.17.3.4/24"));
        around.routes.push(route("172.18.0.0/15", true));
        around.name_servers.push("172.20.0.53".parse().unwrap());
        around.routes.push(route("172.21.9.0/24", false));
        assert_eq!(chosen(&around), "172.22.0.0/16");
        // A wide route to a VPN's other end takes nothing.
        around.routes.push(route("172.16.0.0/12", false));
        around.routes.push(route("128.0.0.0/1", false));
        assert_eq!(chosen(&around), "172.22.0.0/16");
        around.routes.push(route("172.16.0.0/12", true));
        around.neighbours.push(net("192.168.1.20/24"));
        assert_eq!(chosen(&around), "192.168.16.0/20");
        around.neighbours.push(net("192.168.1.20/16"));
        assert_eq!(chosen_after(&around, None).unwrap_err().kind(), Kind::Exhausted);
    }

    #[test]
    fn what_the_bridge_has_and_then_what_it_had_is_kept() {
        let mut around = Surroundings::default();
        let before = Some(Chosen { address: "172.19.0.1".parse().unwrap(), prefix_length: 16 });
        let choice = |around: &Surroundings| chosen_after(around, before).unwrap();
        assert_eq!(choice(&around), "172.19.0.0/16");
        around.neighbours.push(net("172.19.0.9/24"));
        assert_eq!(choice(&around), "172.17.0.0/16");
        around.own.push(net("172.19.0.1/16"));
        assert_eq!(choice(&around), "172.19.0.0/16");
    }

    #[test]
    fn an_address_that_no_host_can_have_is_refused() {
        for wrong in ["10.1.0.0/24", "10.1.0.255/24", "10.1.0.1/31", "fd00::/64", "fd00::1/128"] {
            assert_eq!(checked(net(wrong)).unwrap_err().kind(), Kind::Invalid, "{wrong}");
        }
        assert_eq!(checked(net("fd00::5/64")).unwrap().to_string(), "fd00::/64");
    }
}
