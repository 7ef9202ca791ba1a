//! What an interface of a container needs, whatever it is made of: its settings, its addresses, and
//! that others are told of it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::endpoint::Interface;
use super::family::Family;
use super::kernel::netlink::Batch;
use super::kernel::netns::Inside;
use super::kernel::sysctl;
use crate::error::Result;

/// The prefix lengths of addresses that are good for their link alone.
const LINK_LOCAL: (u8, u8) = (16, 64);

/// Says what the interface begins with, and has `make` make it: to say so before it is there takes no
/// lock that others wait for. Without IPv6 it must not make addresses up, and with it, it has no need
/// to ask whether another has them, which takes a second, nor to listen to who says that it is a
/// router.
pub(super) fn born(interface: &Interface, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let has_ipv6 = interface.ipv6.is_some() || interface.link_local.iter().any(IpAddr::is_ipv6);
    let at_first =
        |key: &str, value| sysctl::set_if_present(&format!("ipv6/conf/default/{key}"), value);
    at_first("disable_ipv6", if has_ipv6 { "0" } else { "1" })?;
    at_first("accept_dad", "0")?;
    at_first("accept_ra", "0")?;
    make()?;
    at_first("disable_ipv6", "0")
}

/// Gives the interface its addresses and its user's settings, and puts it up.
pub(super) fn dress(interface: &Interface, inside: &Inside) -> Result<()> {
    let name = interface.name.as_str();
    let index = inside.index(name)?;
    let mut batch = Batch::default();
    for net in nets_of(interface) {
        batch.add_address(index, net);
    }
    batch.set_up(name);
    inside.run(&batch)?;
    for wanted in &interface.sysctls {
        let setting = format!("{}/{}/{name}/{}", wanted.family, wanted.table, wanted.key);
        sysctl::set(&setting, &wanted.value)?;
    }
    Ok(())
}

/// Has the kernel tell neighbours, which may know an address by another hardware address, if its last
/// owner had a fixed one. Setting ours, though it is set, makes it do so.
pub(super) fn announce(interface: &Interface, inside: &Inside) -> Result<()> {
    let name = interface.name.as_str();
    if interface.ipv4.is_some() {
        sysctl::set(&format!("ipv4/conf/{name}/arp_notify"), "1")?;
    }
    if interface.ipv6.is_some() {
        sysctl::set(&format!("ipv6/conf/{name}/ndisc_notify"), "1")?;
    }
    let mut announcement = Batch::default();
    announcement.set_mac(name, interface.mac);
    inside.run(&announcement)
}

/// An interface's addresses with their prefix lengths.
fn nets_of(interface: &Interface) -> impl Iterator<Item = IpNet> {
    let assigned = interface.assigned().map(|one| (one.address, one.prefix_length));
    let link_local = interface.link_local.iter().map(|address| match Family::of(*address) {
        Family::V4 => (*address, LINK_LOCAL.0),
        Family::V6 => (*address, LINK_LOCAL.1),
    });
    assigned.chain(link_local).filter_map(|(address, length)| IpNet::new(address, length).ok())
}
