//! Which addresses a new network gets: what its user says of them is checked, and what isn't said
//! is chosen.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::bridge::subnet;
use super::info::{Pool, Subnet};
use super::kernel::netlink::Netlink;
use crate::error::{Error, Kind, Result};

/// The addresses of a new network whose bridge will have this name; `taken` are those of others.
///
/// # Errors
/// `Invalid` for what can't be, [`Kind::Forbidden`] if another network has them, `Exhausted` if
/// none are free.
pub(super) fn settle(
    netlink: &Netlink,
    bridge: &str,
    pool: Option<&Pool>,
    taken: Vec<Subnet>,
) -> Result<Subnet> {
    let Some(wanted) = pool.and_then(|pool| Some((pool, pool.subnet?))) else {
        return subnet::choose_for_network(netlink, bridge, taken);
    };
    let (pool, net) = wanted;
    check(pool, net)?;
    let gateway = pool.gateway.map_or_else(|| first_free(pool, net), Ok)?;
    let subnet = Subnet::of(gateway, net.prefix_len());
    let is_in_use = |(_, address, length): &(u32, Ipv4Addr, u8)| {
        Subnet::of(*address, *length).overlaps(&subnet)
    };
    let own = netlink.index(bridge).ok();
    let elsewhere = netlink.addresses()?.into_iter().filter(|(link, ..)| Some(*link) != own);
    if taken.iter().any(|other| other.overlaps(&subnet))
        || elsewhere.into_iter().any(|a| is_in_use(&a))
    {
        let overlap = "invalid pool request: Pool overlaps with other one on this address space";
        return Err(Error::new(Kind::Forbidden, overlap));
    }
    Ok(subnet)
}

/// The lowest address that the host can have.
fn first_free(pool: &Pool, net: Ipv4Net) -> Result<Ipv4Addr> {
    let range = pool.range.unwrap_or(net);
    let is_kept = |address: &Ipv4Addr| pool.auxiliary.values().any(|kept| kept == address);
    range
        .hosts()
        .chain(net.hosts())
        .find(|address| *address != net.network() && !is_kept(address))
        .ok_or_else(|| Error::new(Kind::Exhausted, format!("no available IPv4 addresses in {net}")))
}

/// All that is wrong with what a user says, in the words that docker has for it.
fn check(pool: &Pool, net: Ipv4Net) -> Result<()> {
    let mut wrong = Vec::new();
    if net.trunc() != net {
        wrong.push(format!("invalid subnet {net}: it should be {}", net.trunc()));
    }
    if let Some(range) = pool.range {
        if range.prefix_len() < net.prefix_len() {
            wrong.push(format!(
                "invalid ip-range {range}: CIDR block is bigger than its parent subnet {net}"
            ));
        }
        if range.trunc() != range {
            wrong.push(format!("invalid ip-range {range}: it should be {}", range.trunc()));
        }
        if !net.contains(&range.network()) && !range.contains(&net.network()) {
            wrong.push(format!(
                "invalid ip-range {range}: parent subnet {net} doesn't contain ip-range"
            ));
        }
    }
    let outside = |address: &Ipv4Addr| !net.contains(address);
    let not_in = format!("parent subnet {net} doesn't contain this address");
    if let Some(gateway) = pool.gateway.filter(outside) {
        wrong.push(format!("invalid gateway {gateway}: {not_in}"));
    }
    for (name, _) in pool.auxiliary.iter().filter(|(_, address)| outside(address)) {
        wrong.push(format!("invalid auxiliary address {name}: {not_in}"));
    }
    if wrong.is_empty() && net.prefix_len() > 30 {
        wrong.push(format!("invalid subnet {net}: it has no room for the host and a container"));
    }
    all_wrong("invalid network config", &wrong)
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

    fn pool(subnet: &str, range: Option<&str>, gateway: Option<&str>) -> Pool {
        Pool {
            subnet: Some(subnet.parse().unwrap()),
            range: range.map(|range| range.parse().unwrap()),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            auxiliary: [("router".to_owned(), Ipv4Addr::new(10, 1, 0, 1))].into(),
        }
    }

    fn said(pool: &Pool) -> String {
        check(pool, pool.subnet.unwrap()).unwrap_err().to_string()
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
    }

    #[test]
    fn the_host_gets_the_lowest_address_that_nobody_has() {
        let lowest = |pool: &Pool| first_free(pool, pool.subnet.unwrap()).unwrap().to_string();
        assert_eq!(lowest(&pool("10.1.0.0/24", None, None)), "10.1.0.2");
        assert_eq!(lowest(&pool("10.1.0.0/24", Some("10.1.0.128/25"), None)), "10.1.0.129");
    }
}
