//! The bridge as a device of the host, and the links that carry its mark.

use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::settings::Settings;
use crate::error::{Error, Result};
use crate::network::family::Family;
use crate::network::firewall::BRIDGES;
use crate::network::info::Subnet;
use crate::network::kernel::link::{Link, NewBridge};
use crate::network::kernel::netlink::{Batch, Netlink};
use crate::network::kernel::sysctl;
use crate::network::mac::MacAddress;

/// The MTU that the kernel gives a bridge when none is set.
pub(super) const DEFAULT_MTU: u32 = 1500;
/// The lowest MTU that there is, and that IPv6 works with.
const LOWEST_MTU: u32 = 68;
const LOWEST_MTU_OF_IPV6: u32 = 1280;
/// The longest name that an interface can have, in bytes.
const LONGEST_NAME: usize = 15;
/// How long a new port may take to open before a container is started without waiting for it.
const LONGEST_OPENING: Duration = Duration::from_millis(200);
/// How the names of our ends of containers' cables begin.
const CABLE: &str = "tare-";

/// The note on a link of the manager whose default bridge this is, that says whose it is: that
/// bridge's own is without a container.
pub(super) fn mark_of(manager: &str, container: &str) -> String {
    format!("tare {manager} {container}").trim_end().to_owned()
}

/// The note on the bridge of a network that a user has made.
pub(super) fn network_mark_of(manager: &str, network: &str) -> String {
    format!("tare-network {manager} {network}")
}

/// The name of the bridge of a network that a user has made without giving one.
pub(in crate::network) fn bridge_name(network: &str) -> String {
    "br-".chars().chain(network.chars()).take(LONGEST_NAME).collect()
}

/// The name of our end of the cable of the endpoint with this id.
pub(super) fn cable_name(endpoint_id: &str) -> String {
    CABLE.chars().chain(endpoint_id.chars()).take(LONGEST_NAME).collect()
}

/// Whether a bridge can be like this.
///
/// # Errors
/// `Invalid`, saying what is wrong.
pub(in crate::network) fn check(settings: &Settings, has_ipv6: bool) -> Result<()> {
    let Settings { name, mtu, .. } = settings;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty()
        || name.len() > LONGEST_NAME
        || !name.bytes().all(plain)
        || name == "."
        || name == ".."
    {
        return Err(Error::invalid(format!(
            "the bridge's name {name:?} must be 1 to {LONGEST_NAME} letters, digits, '-', '_' or '.'"
        )));
    }
    if name.starts_with(CABLE) {
        return Err(Error::invalid(format!(
            "the bridge's name {name} must not begin with {CABLE}, as containers' interfaces do"
        )));
    }
    let lowest = if has_ipv6 { LOWEST_MTU_OF_IPV6 } else { LOWEST_MTU };
    match mtu {
        Some(mtu) if !(lowest..=65535).contains(mtu) => {
            Err(Error::invalid(format!("the bridge's MTU {mtu} must be from {lowest} to 65535")))
        }
        _ => Ok(()),
    }
}

/// The interface with the bridge's name, if there is one.
///
/// # Errors
/// `Conflict` if it is something else than a bridge.
pub(in crate::network) fn find(netlink: &Netlink, name: &str) -> Result<Option<Link>> {
    match netlink.link(name)? {
        Some(link) if !link.is_bridge => Err(Error::conflict(format!(
            "the interface {name} of this host is no bridge; give the bridge another name"
        ))),
        found => Ok(found),
    }
}

/// Makes the bridge, or brings the one that we have made before to these settings. A bridge that
/// someone else has made is used as it is, if it has the addresses.
///
/// # Errors
/// `Conflict` if the bridge can't have its name because something else does, or isn't ours and has
/// other addresses.
pub(super) fn ensure(
    netlink: &Netlink,
    settings: &Settings,
    subnets: &[Subnet],
    mark: &str,
) -> Result<()> {
    let name = &settings.name;
    let is_ours = match find(netlink, name)? {
        Some(link) => link.alias.as_deref() == Some(mark),
        None => {
            make(netlink, settings, subnets, mark)?;
            true
        }
    };
    let index = netlink.index(name).map_err(|error| Error::io(format!("find {name}"), error))?;
    let own = netlink.addresses()?.into_iter().filter(|(link, _)| *link == index);
    let own: Vec<_> = own.map(|(_, address)| address).collect();
    let wanted = host_addresses(settings, subnets);
    if is_ours {
        repair(netlink, settings, &wanted, index, &own)?;
    } else if let Some(missing) = wanted.iter().find(|address| !own.contains(address)) {
        return Err(Error::conflict(format!(
            "the bridge {name} was not made by tared and does not have the address {missing}; give \
             it that, or give tared one that it has (bip) or another bridge"
        )));
    }
    // Lets packets from 127.0.0.1 to a published port go on to the container. There is no such thing
    // for IPv6.
    match subnets.iter().any(|subnet| subnet.family() == Family::V4) {
        true => sysctl::set(&format!("ipv4/conf/{name}/route_localnet"), "1"),
        false => Ok(()),
    }
}

/// The host's own addresses on the bridge.
fn host_addresses(settings: &Settings, subnets: &[Subnet]) -> Vec<IpNet> {
    let has_one = |subnet: &&Subnet| subnet.family() == Family::V6 || !settings.inhibit_ipv4;
    let address = |subnet: &Subnet| IpNet::new(subnet.gateway?, subnet.prefix_length()).ok();
    subnets.iter().filter(has_one).filter_map(address).collect()
}

/// Brings our own bridge, which has these addresses, to the settings.
fn repair(
    netlink: &Netlink,
    settings: &Settings,
    wanted: &[IpNet],
    index: u32,
    addresses: &[IpNet],
) -> Result<()> {
    let Settings { name, mtu, .. } = settings;
    if wanted.iter().any(|address| Family::of(address.addr()) == Family::V6) {
        let of_bridge = |key: &str| format!("ipv6/conf/{name}/{key}");
        sysctl::set(&of_bridge("disable_ipv6"), "0")?;
        // Whoever is on it must not tell the host where its packets go.
        sysctl::set(&of_bridge("accept_ra"), "0")?;
        sysctl::set(&of_bridge("accept_dad"), "0")?;
    }
    let mut batch = Batch::default();
    for other in addresses.iter().filter(|own| !wanted.contains(own) && !is_link_local(own)) {
        batch.delete_address(index, *other);
    }
    for missing in wanted.iter().filter(|address| !addresses.contains(address)) {
        batch.add_address(index, *missing);
    }
    if let Some(mtu) = mtu {
        batch.set_mtu(name, *mtu);
    }
    batch.set_group(name, BRIDGES);
    batch.set_up(name);
    Ok(netlink.run(&batch)?)
}

/// Whether it is one that the kernel gives to each interface.
fn is_link_local(address: &IpNet) -> bool {
    match address {
        IpNet::V4(_) => false,
        IpNet::V6(address) => address.addr().is_unicast_link_local(),
    }
}

fn make(netlink: &Netlink, settings: &Settings, subnets: &[Subnet], mark: &str) -> Result<()> {
    let first = subnets.first().map(|subnet| subnet.gateway.unwrap_or(subnet.net.addr()));
    let mut batch = Batch::default();
    batch.add_bridge(&NewBridge {
        name: &settings.name,
        mac: MacAddress::of(first.unwrap_or(Ipv6Addr::LOCALHOST.into())),
        mtu: settings.mtu,
    });
    batch.set_alias(&settings.name, mark);
    Ok(netlink.run(&batch)?)
}

/// Waits until packets pass between the port `port` and the host.
///
/// The kernel opens a port some time after both ends of its cable are up, or at once when it is
/// asked about it (since Linux 6.8). Without this a container's first packet may be lost, and it is
/// a second until it is sent again.
pub(super) fn await_passing(netlink: &Netlink, port: &str, bridge: &str) -> Result<()> {
    let deadline = Instant::now() + LONGEST_OPENING;
    for link in [port, bridge] {
        while !netlink.link(link)?.is_some_and(|link| link.is_passing) {
            if Instant::now() > deadline {
                tracing::warn!(link, "packets don't pass yet; the container may have to wait");
                return Ok(());
            }
            thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(())
}

/// Deletes the link `name`; it is no error if there is none.
pub(in crate::network) fn delete(netlink: &Netlink, name: &str) -> Result<()> {
    let mut batch = Batch::default();
    batch.delete_link(name);
    match netlink.run(&batch) {
        Err(refusal) if refusal.errno == libc::ENODEV => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// The links of the manager whose default bridge is `manager` that are neither among these cables of
/// containers nor the bridge of one of these networks.
pub(in crate::network) fn orphans(
    netlink: &Netlink,
    manager: &str,
    cables: &HashSet<String>,
    networks: &HashSet<String>,
) -> Result<Vec<String>> {
    let cable_mark = format!("{} ", mark_of(manager, ""));
    let network_mark = network_mark_of(manager, "");
    let is_orphan = |link: &Link| {
        let alias = link.alias.as_deref().unwrap_or_default();
        match alias.strip_prefix(&network_mark) {
            Some(network) => !networks.contains(network),
            None => alias.starts_with(&cable_mark) && !cables.contains(&link.name),
        }
    };
    Ok(netlink.links()?.into_iter().filter(is_orphan).map(|link| link.name).collect())
}
