//! Which addresses a new network gets: what its user says of them is checked, and what isn't said
//! is chosen.

use std::net::IpAddr;

use ipnet::IpNet;

use super::family::{ByFamily, Family, hosts, number};
use super::info::{Ipam, Pool, Subnet};
use super::pools::Pools;
use super::surroundings::Surroundings;
use crate::error::{Error, Kind, Result};

/// Whether a network's host has an address of each kind that nobody has named.
pub(super) type HasGateway = ByFamily<bool>;

/// The addresses of a new network with these `families`.
///
/// # Errors
/// `Invalid` for what can't be, [`Kind::Forbidden`] if another network has them, `Exhausted` if
/// none are free.
pub(super) fn settle(
    families: &ByFamily<bool>,
    ipam: &Ipam,
    pools: &Pools,
    around: &mut Surroundings,
    has_gateway: &HasGateway,
) -> Result<Vec<Subnet>> {
    check(families, &ipam.pools)?;
    let mut subnets = Vec::new();
    for family in Family::BOTH.into_iter().filter(|family| *families.get(*family)) {
        let host = *has_gateway.get(family);
        let mut wanted = ipam.pools_of(family).peekable();
        if wanted.peek().is_none() {
            subnets.push(with_host(pools.choose(family, around)?, host));
        }
        for pool in wanted {
            let subnet = match pool.is_left_open() {
                true => with_host(pools.choose(family, around)?, host),
                false => named(pool, host, around)?,
            };
            around.taken.push(subnet);
            subnets.push(subnet);
        }
    }
    Ok(subnets)
}

fn with_host(subnet: Subnet, has_gateway: bool) -> Subnet {
    Subnet { gateway: subnet.gateway.filter(|_| has_gateway), ..subnet }
}

/// The subnet that a pool names.
fn named(pool: &Pool, has_gateway: bool, around: &Surroundings) -> Result<Subnet> {
    let gateway = match (pool.gateway, has_gateway) {
        (Some(gateway), _) => Some(gateway),
        (None, true) => Some(first_free(pool)?),
        (None, false) => None,
    };
    let subnet = Subnet { net: pool.subnet, gateway };
    if around.network_in(&subnet) || around.neighbour_in(&subnet).is_some() {
        let overlap = "invalid pool request: Pool overlaps with other one on this address space";
        return Err(Error::new(Kind::Forbidden, overlap));
    }
    Ok(subnet)
}

/// The lowest address that the host can have.
fn first_free(pool: &Pool) -> Result<IpAddr> {
    let (net, family) = (pool.subnet, pool.family());
    let (range, all) = (pool.range.unwrap_or(net), hosts(&net));
    let is_kept = |address: &IpAddr| pool.auxiliary.values().any(|kept| kept == address);
    let first = number(range.network()).max(*all.start());
    (first..=number(range.broadcast()).min(*all.end()))
        .chain(all)
        .map(|number| family.numbered(number))
        .find(|address| !is_kept(address))
        .ok_or_else(|| {
            let text = format!("no available {} addresses in {net}", family.name());
            Error::new(Kind::Exhausted, text)
        })
}

/// All that is wrong with what a user says, in the words that docker has for it. What is said of
/// addresses that the network doesn't have is not looked at, as there.
pub(super) fn check(families: &ByFamily<bool>, pools: &[Pool]) -> Result<()> {
    let mut wrong = Vec::new();
    for pool in pools.iter().filter(|pool| *families.get(pool.family()) && !pool.is_left_open()) {
        check_pool(pool, &mut wrong);
    }
    for (number, one) in pools.iter().enumerate().filter(|(_, pool)| !pool.is_left_open()) {
        for other in pools.iter().take(number) {
            if super::info::overlap(&one.subnet, &other.subnet) && !other.is_left_open() {
                wrong.push(format!("subnets {} and {} overlap", other.subnet, one.subnet));
            }
        }
    }
    all_wrong("invalid network config", &wrong)
}

fn check_pool(pool: &Pool, wrong: &mut Vec<String>) {
    let (net, before) = (pool.subnet, wrong.len());
    if net.trunc() != net {
        wrong.push(format!("invalid subnet {net}: it should be {}", net.trunc()));
    }
    if let Some(range) = pool.range {
        check_range(range, net, wrong);
    }
    let outside = |address: &IpAddr| !net.contains(address);
    let not_in = format!("parent subnet {net} doesn't contain this address");
    let other_kind = "parent subnet is of another kind of addresses";
    let why = |address: IpAddr| match Family::of(address) == pool.family() {
        true => not_in.as_str(),
        false => other_kind,
    };
    if let Some(gateway) = pool.gateway.filter(outside) {
        wrong.push(format!("invalid gateway {gateway}: {}", why(gateway)));
    }
    for (name, address) in pool.auxiliary.iter().filter(|(_, address)| outside(address)) {
        wrong.push(format!("invalid auxiliary address {name}: {}", why(*address)));
    }
    if wrong.len() == before && pool.family().bits() == net.prefix_len() {
        wrong.push(format!("invalid subnet {net}: it has no room for the host and a container"));
    }
}

fn check_range(range: IpNet, net: IpNet, wrong: &mut Vec<String>) {
    if range.prefix_len() < net.prefix_len() {
        wrong.push(format!(
            "invalid ip-range {range}: CIDR block is bigger than its parent subnet {net}"
        ));
    }
    if range.trunc() != range {
        wrong.push(format!("invalid ip-range {range}: it should be {}", range.trunc()));
    }
    if !super::info::overlap(&net, &range) {
        wrong.push(format!(
            "invalid ip-range {range}: parent subnet {net} doesn't contain ip-range"
        ));
    }
}

/// One error for all that is wrong with something, if anything is.
pub(crate) fn all_wrong(what: &str, wrong: &[String]) -> Result<()> {
    match wrong {
        [] => Ok(()),
        [one] => Err(Error::invalid(format!("{what}:\n{one}"))),
        several => Err(Error::invalid(format!("{what}:\n* {}", several.join("\n* ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: ByFamily<bool> = ByFamily { ipv4: true, ipv6: true };

    fn pool(subnet: &str, range: Option<&str>, gateway: Option<&str>) -> Pool {
        Pool {
            range: range.map(|range| range.parse().unwrap()),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            auxiliary: [("router".to_owned(), "10.1.0.1".parse().unwrap())].into(),
            ..Pool::of(subnet.parse().unwrap())
        }
    }

    fn said(pool: &Pool) -> String {
        check(&BOTH, std::slice::from_ref(pool)).unwrap_err().to_string()
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let text = said(&pool("10.1.0.5/24", Some("10.2.0.0/16"), Some("10.3.0.1")));
        assert_eq!(
            text,
            "invalid network config:\n\
             * invalid subnet 10.1.0.5/24: it should be 10.1.0.0/24\n\
             * invalid ip-range 10.2.0.0/16: CIDR block is bigger than its parent subnet 10.1.0.5/24\n\
             * invalid ip-range 10.2.0.0/16: parent subnet 10.1.0.5/24 doesn't contain ip-range\n\
             * invalid gateway 10.3.0.1: parent subnet 10.1.0.5/24 doesn't contain this address"
        );
        assert!(said(&pool("10.9.0.0/24", None, None)).contains("auxiliary address router"));
        let mixed =
            Pool { gateway: Some("fd00::1".parse().unwrap()), ..pool("10.1.0.0/24", None, None) };
        assert!(said(&mixed).contains("another kind"), "{}", said(&mixed));
    }

    #[test]
    fn what_is_said_of_addresses_that_it_has_not_is_nothing() {
        let wrong = Pool::of("fd00::5/64".parse().unwrap());
        check(&ByFamily { ipv4: true, ipv6: false }, std::slice::from_ref(&wrong)).unwrap();
        assert!(said(&wrong).contains("it should be fd00::/64"));
    }

    #[test]
    fn the_host_gets_the_lowest_address_that_nobody_has() {
        let lowest = |pool: &Pool| first_free(pool).unwrap().to_string();
        assert_eq!(lowest(&pool("10.1.0.0/24", None, None)), "10.1.0.2");
        assert_eq!(lowest(&pool("10.1.0.0/24", Some("10.1.0.128/25"), None)), "10.1.0.128");
        assert_eq!(lowest(&Pool::of("fd00::/64".parse().unwrap())), "fd00::1");
    }

    #[test]
    fn each_kind_is_chosen_or_named() {
        let pools = Pools::new(&[], "");
        let settle = |families, ipam: &Ipam| {
            let mut around = Surroundings::default();
            settle(&families, ipam, &pools, &mut around, &BOTH)
        };
        let both = settle(BOTH, &Ipam::default()).unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(both[0].to_string(), "172.17.0.0/16");
        let one = Ipam { pools: vec![Pool::of("fd00:9::/64".parse().unwrap())], options: None };
        let newer = settle(ByFamily { ipv4: false, ipv6: true }, &one).unwrap();
        assert_eq!(newer[0].gateway.unwrap().to_string(), "fd00:9::1");
        assert_eq!(newer.len(), 1);
    }
}
