//! Which addresses of a subnet are in use.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::info::Subnet;
use crate::error::{Error, Kind, Result};

/// The addresses of one subnet. The host's own, the lowest and the highest are never given out.
pub(super) struct Addresses {
    subnet: Subnet,
    /// Those that who names none gets one of.
    range: RangeInclusive<u32>,
    /// Those that other hosts have.
    kept: BTreeSet<u32>,
    used: Mutex<BTreeSet<u32>>,
}

impl Addresses {
    /// The addresses of `subnet`, all of them free but for those that are `kept`; who names none
    /// gets one of `range`.
    pub(super) fn new(
        subnet: Subnet,
        range: Option<Subnet>,
        kept: impl IntoIterator<Item = Ipv4Addr>,
    ) -> Self {
        let range = range.unwrap_or(subnet);
        let (lowest, highest) = (u32::from(subnet.network), u32::from(subnet.broadcast()));
        let first = u32::from(range.network).max(lowest.saturating_add(1));
        let last = u32::from(range.broadcast()).min(highest.saturating_sub(1));
        let kept = kept.into_iter().map(u32::from).chain([subnet.gateway.into()]).collect();
        Self { subnet, range: first..=last, kept, used: Mutex::default() }
    }

    /// The lowest address that is free; it isn't any more.
    ///
    /// # Errors
    /// [`Kind::Exhausted`] if there is none.
    pub(super) fn take_free(&self) -> Result<Ipv4Addr> {
        let mut used = self.used();
        let mut range = self.range.clone();
        let free = range.find(|address| !self.kept.contains(address) && !used.contains(address));
        match free {
            Some(address) => {
                used.insert(address);
                Ok(Ipv4Addr::from(address))
            }
            None => Err(Error::new(
                Kind::Exhausted,
                format!(
                    "no available IPv4 addresses on this network's address pool {}: all {} are in \
                     use; stop a container, or take a larger subnet",
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
    pub(super) fn take(&self, address: Ipv4Addr) -> Result<()> {
        let number = u32::from(address);
        if !self.subnet.contains(address) {
            return Err(Error::invalid(format!(
                "no configured subnet contains IP address {address}"
            )));
        }
        let is_an_end = address == self.subnet.network || address == self.subnet.broadcast();
        if is_an_end || self.kept.contains(&number) || !self.used().insert(number) {
            return Err(Error::new(Kind::Forbidden, "Address already in use"));
        }
        Ok(())
    }

    /// Counts `address` as used.
    pub(super) fn adopt(&self, address: Ipv4Addr) {
        self.used().insert(address.into());
    }

    /// Frees `address`.
    pub(super) fn release(&self, address: Ipv4Addr) {
        self.used().remove(&address.into());
    }

    fn used(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(address: [u8; 4], prefix_length: u8) -> Subnet {
        Subnet::of(Ipv4Addr::from(address), prefix_length)
    }

    fn addresses(address: [u8; 4], prefix_length: u8) -> Addresses {
        Addresses::new(subnet(address, prefix_length), None, [])
    }

    #[test]
    fn the_lowest_free_one_is_given_and_none_twice() {
        let addresses = addresses([10, 0, 0, 1], 29);
        addresses.adopt(Ipv4Addr::new(10, 0, 0, 3));
        let all: Vec<_> = (0..4).map(|_| addresses.take_free().unwrap().octets()[3]).collect();
        assert_eq!(all, [2, 4, 5, 6]);
        let error = addresses.take_free().unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(error.to_string().contains("10.0.0.0/29"), "{error}");
        addresses.release(Ipv4Addr::new(10, 0, 0, 4));
        assert_eq!(addresses.take_free().unwrap(), Ipv4Addr::new(10, 0, 0, 4));
    }

    #[test]
    fn the_hosts_address_may_be_anywhere() {
        let addresses = addresses([10, 0, 0, 6], 29);
        let all: Vec<_> = (0..5).map(|_| addresses.take_free().unwrap().octets()[3]).collect();
        assert_eq!(all, [1, 2, 3, 4, 5]);
        assert!(addresses.take_free().is_err());
    }

    #[test]
    fn a_subnet_without_room_has_none() {
        for prefix_length in [31, 32] {
            assert!(addresses([10, 0, 0, 0], prefix_length).take_free().is_err());
        }
    }

    #[test]
    fn who_names_none_gets_one_of_the_range_that_is_not_kept() {
        let range = Some(subnet([10, 0, 0, 8], 30));
        let kept = [Ipv4Addr::new(10, 0, 0, 9)];
        let addresses = Addresses::new(subnet([10, 0, 0, 1], 24), range, kept);
        addresses.take(Ipv4Addr::new(10, 0, 0, 77)).unwrap();
        let all: Vec<_> = (0..3).map(|_| addresses.take_free().unwrap().octets()[3]).collect();
        assert_eq!(all, [8, 10, 11]);
        assert!(addresses.take_free().is_err());
        for (last, kind) in [(77, Kind::Forbidden), (9, Kind::Forbidden), (1, Kind::Forbidden)] {
            assert_eq!(addresses.take(Ipv4Addr::new(10, 0, 0, last)).unwrap_err().kind(), kind);
        }
        let elsewhere = addresses.take(Ipv4Addr::new(10, 0, 1, 1)).unwrap_err();
        assert_eq!(elsewhere.kind(), Kind::Invalid);
    }
}
