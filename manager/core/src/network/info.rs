//! What can be read about a network.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;

use super::endpoint::Endpoint;

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
    /// The driver's settings, by the names that clients know.
    pub options: BTreeMap<String, String>,
    /// What is connected to it.
    pub endpoints: Vec<Endpoint>,
}

/// The addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The lowest address: the subnet's own.
    pub network: Ipv4Addr,
    /// How many leading bits its addresses have in common.
    pub prefix_length: u8,
    /// The host's address in it, by which the containers reach everything else.
    pub gateway: Ipv4Addr,
}
