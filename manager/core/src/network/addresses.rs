//! Which addresses of a subnet are in use.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use super::family::{hosts, number};
use super::info::Subnet;
use crate::error::{Error, Kind, Result};

/// The addresses of one subnet that hosts can have. Its own host's is never given out.
pub(super) struct Addresses {
    subnet: Subnet,
    /// Those that who names none gets one of.
    range: RangeInclusive<u128>,
    /// The lowest and the highest that there are for containers.
    ends: RangeInclusive<u128>,
    /// Those that other hosts have.
    kept: BTreeSet<u128>,
    used: Mutex<BTreeSet<u128>>,
}

/// Counts an address as used, in whichever of these subnets it is.
pub(super) fn adopt(all: &[Addresses], address: IpAddr) {
    with(all, address).for_each(|addresses| addresses.adopt(address));
}

/// Frees an address, in whichever of these subnets it is.
pub(super) fn release(all: &[Addresses], address: IpAddr) {
    with(all, address).for_each(|addresses| addresses.release(address));
}

fn with(all: &[Addresses], address: IpAddr) -> impl Iterator<Item = &Addresses> {
    all.iter().filter(move |addresses| addresses.subnet().contains(address))
}

impl Addresses {
    /// The addresses of `subnet`, all of them free but for those that are `kept`; who names none
    /// gets one of `range`.
    pub(super) fn new(
        subnet: Subnet,
        range: Option<IpNet>,
        kept: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let net = subnet.net;
        let ends = hosts(&net);
        let range = range.unwrap_or(net);
        let first = number(range.network()).max(*ends.start());
        let range = first..=number(range.broadcast()).min(*ends.end());
        let kept = kept.into_iter().chain(subnet.gateway).map(number).collect();
        Self { subnet, range, ends, kept, used: Mutex::default() }
    }

    /// The subnet that they are of.
    pub(super) fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// The lowest address that is free; it isn't any more.
    ///
    /// # Errors
    /// [`Kind::Exhausted`] if there is none.
    pub(super) fn take_free(&self) -> Result<IpAddr> {
        let mut used = self.used();
        let mut range = self.range.clone();
        let free = range.find(|address| !self.kept.contains(address) && !used.contains(address));
        match free {
            Some(address) => {
                used.insert(address);
                Ok(self.subnet.family().numbered(address))
            }
            None => Err(Error::new(
                Kind::Exhausted,
                format!(
                    "no available {} addresses on this network's address pool {}: all {} are in \
                     use; stop a container, or take a larger subnet",
                    self.subnet.family().name(),
                    self.subnet,
                    used.len()
                ),
            )),
        }
    }

    /// Takes this very address.
    ///
    /// # Errors
    /// `Invalid` if it isn't one of the subnet's, [`Kind::Forbidden`] if it is in use.
    pub(super) fn take(&self, address: IpAddr) -> Result<()> {
        let number = number(address);
        if !self.subnet.contains(address) {
            return Err(Error::invalid(format!(
                "no configured subnet or ip-range contain the IP address {address}"
            )));
        }
        if !self.ends.contains(&number)
            || self.kept.contains(&number)
            || !self.used().insert(number)
        {
            return Err(Error::new(Kind::Forbidden, "Address already in use"));
        }
        Ok(())
    }

    /// How many containers have one.
    pub(super) fn used_count(&self) -> usize {
        self.used().len()
    }

    /// Counts `address` as used.
    pub(super) fn adopt(&self, address: IpAddr) {
        self.used().insert(number(address));
    }

    /// Frees `address`.
    pub(super) fn release(&self, address: IpAddr) {
        self.used().remove(&number(address));
    }

    fn used(&self) -> MutexGuard<'_, BTreeSet<u128>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(gateway: &str, prefix_length: u8) -> Addresses {
        Addresses::new(Subnet::of(gateway.parse().unwrap(), prefix_length), None, [])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_lowest_free_one_is_given_and_none_twice() {
        let addresses = addresses("10.0.0.1", 29);
        addresses.adopt(ip("10.0.0.3"));
        let all: Vec<_> = (0..4).map(|_| addresses.take_free().unwrap()).collect();
        assert_eq!(all, ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"].map(ip));
        let error = addresses.take_free().unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(error.to_string().contains("10.0.0.0/29"), "{error}");
        addresses.release(ip("10.0.0.4"));
        assert_eq!(addresses.take_free().unwrap(), ip("10.0.0.4"));
    }

    #[test]
    fn the_hosts_address_may_be_anywhere() {
        let addresses = addresses("10.0.0.6", 29);
        let all: Vec<_> = (0..5).map(|_| addresses.take_free().unwrap()).collect();
        assert_eq!(all, [1, 2, 3, 4, 5].map(|last| ip(&format!("10.0.0.{last}"))));
        assert!(addresses.take_free().is_err());
    }

    #[test]
    fn the_highest_of_ipv6_is_one_like_others() {
        let addresses = addresses("fd00::1", 126);
        assert_eq!(addresses.take_free().unwrap(), ip("fd00::2"));
        assert_eq!(addresses.take_free().unwrap(), ip("fd00::3"));
        let error = addresses.take_free().unwrap_err().to_string();
        assert!(error.contains("no available IPv6 addresses"), "{error}");
        assert_eq!(addresses.take(ip("fd00::")).unwrap_err().kind(), Kind::Forbidden);
    }

    #[test]
    fn a_subnet_without_room_has_none() {
        assert!(addresses("10.0.0.0", 32).take_free().is_err());
        let two = addresses("10.0.0.0", 31);
        assert_eq!(two.take_free().unwrap(), ip("10.0.0.1"));
        assert!(two.take_free().is_err());
    }

    #[test]
    fn who_names_none_gets_one_of_the_range_that_is_not_kept() {
        let range = Some("10.0.0.8/30".parse().unwrap());
        let subnet = Subnet::of(ip("10.0.0.1"), 24);
        let addresses = Addresses::new(subnet, range, [ip("10.0.0.9")]);
        addresses.take(ip("10.0.0.77")).unwrap();
        let all: Vec<_> = (0..3).map(|_| addresses.take_free().unwrap()).collect();
        assert_eq!(all, ["10.0.0.8", "10.0.0.10", "10.0.0.11"].map(ip));
        assert!(addresses.take_free().is_err());
        for taken in ["10.0.0.77", "10.0.0.9", "10.0.0.1"] {
            assert_eq!(addresses.take(ip(taken)).unwrap_err().kind(), Kind::Forbidden);
        }
        assert_eq!(addresses.take(ip("10.0.1.1")).unwrap_err().kind(), Kind::Invalid);
    }
}
