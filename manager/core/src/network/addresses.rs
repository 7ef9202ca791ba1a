//! Which addresses of a subnet are in use.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::info::Subnet;
use crate::error::{Error, Kind, Result};

/// The addresses of one subnet. The host's own, the lowest and the highest are never given out.
pub(super) struct Addresses {
    subnet: Subnet,
    used: Mutex<BTreeSet<u32>>,
}

impl Addresses {
    /// The addresses of `subnet`, all of them free.
    pub(super) fn new(subnet: Subnet) -> Self {
        Self { subnet, used: Mutex::default() }
    }

    /// The lowest address that is free; it isn't any more.
    ///
    /// # Errors
    /// [`Kind::Exhausted`] if there is none.
    pub(super) fn take_free(&self) -> Result<Ipv4Addr> {
        let lowest = u32::from(self.subnet.network);
        let highest = u32::from(self.subnet.broadcast());
        let gateway = u32::from(self.subnet.gateway);
        let mut used = self.used();
        let free = (lowest.saturating_add(1)..highest)
            .find(|address| *address != gateway && !used.contains(address));
        match free {
            Some(address) => {
                used.insert(address);
                Ok(Ipv4Addr::from(address))
            }
            None => Err(Error::new(
                Kind::Exhausted,
                format!(
                    "no available IPv4 addresses on this network's address pool {}: all {} are in \
                     use; stop a container, or start tared with a larger subnet",
                    self.subnet,
                    used.len()
                ),
            )),
        }
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

    #[test]
    fn the_lowest_free_one_is_given_and_none_twice() {
        let addresses = Addresses::new(subnet([10, 0, 0, 1], 29));
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
        let addresses = Addresses::new(subnet([10, 0, 0, 6], 29));
        let all: Vec<_> = (0..5).map(|_| addresses.take_free().unwrap().octets()[3]).collect();
        assert_eq!(all, [1, 2, 3, 4, 5]);
        assert!(addresses.take_free().is_err());
    }

    #[test]
    fn a_subnet_without_room_has_none() {
        for prefix_length in [31, 32] {
            assert!(Addresses::new(subnet([10, 0, 0, 0], prefix_length)).take_free().is_err());
        }
    }
}
