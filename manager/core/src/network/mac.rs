//! Hardware addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::family::number;
use crate::error::{Error, Result};

/// The hardware address of an Ethernet interface, written `02:42:ac:11:00:02`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The locally administered address that belongs to an address of a network. As it follows the
    /// address, neighbours' tables stay right when the address goes to another container.
    pub fn of(address: IpAddr) -> Self {
        let [a, b, c, d] = (number(address) as u32).to_be_bytes();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// The address that these bytes are, if they are one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its six bytes.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = Error;

    /// Reads six pairs of hexadecimal digits with colons or hyphens between them.
    ///
    /// # Errors
    /// `Invalid` if it isn't that, or is an address of a group, which no interface can have.
    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::invalid(format!("invalid MAC address: {text}"));
        let mut octets = [0; 6];
        let mut pairs = text.split([':', '-']);
        for octet in &mut octets {
            let pair = pairs.next().unwrap_or_default();
            *octet = match pair.len() {
                2 => hex::decode(pair).ok().and_then(|byte| byte.first().copied()),
                _ => None,
            }
            .ok_or_else(invalid)?;
        }
        let [first, ..] = octets;
        if pairs.next().is_some() || first & 1 == 1 || octets == [0; 6] {
            return Err(invalid());
        }
        Ok(Self(octets))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_address_and_reads_back() {
        let mac = MacAddress::of("172.17.0.2".parse().unwrap());
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert_eq!("02-42-AC-11-00-02".parse::<MacAddress>().unwrap(), mac);
    }

    #[test]
    fn what_no_interface_can_have_is_refused() {
        for text in ["", "02:42", "02:42:ac:11:00:02:03", "01:42:ac:11:00:02", "+2:42:ac:11:00:02"]
        {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}
