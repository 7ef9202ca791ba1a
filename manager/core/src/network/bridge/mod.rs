//! The driver `bridge`: containers on a switch of the host, behind its addresses.

pub(super) mod device;
mod forwarding;
pub(super) mod settings;
pub(super) mod subnet;

pub(super) use forwarding::{plan as plan_forwarding, turn_on as turn_on_forwarding};

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::addresses::Addresses;
use super::endpoint::{Interface, Wish};
use super::firewall::Zone;
use super::info::{Pool, Subnet};
use super::kernel::link::{NewCable, NewPeer};
use super::kernel::netlink::{Batch, Netlink};
use super::kernel::netns::Inside;
use super::kernel::sysctl;
use super::mac::MacAddress;
use crate::error::{Error, Result};
use settings::{Neighbours, Outside, Settings};

/// A network that is a bridge of the host.
pub(super) struct Bridge {
    settings: Settings,
    subnet: Subnet,
    /// What is written on the links that it makes.
    mark: Mark,
    addresses: Addresses,
}

/// Whose a bridge is.
pub(super) struct Mark {
    /// The manager, by the name of its default bridge.
    pub(super) manager: String,
    /// The network's id; none: it is the default one.
    pub(super) network: Option<String>,
}

impl Bridge {
    /// The bridge with these settings and addresses; [`Bridge::ensure`] makes it.
    pub(super) fn new(settings: Settings, subnet: Subnet, pool: Option<&Pool>, mark: Mark) -> Self {
        let range = pool
            .and_then(|pool| pool.range)
            .map(|range| Subnet::of(range.network(), range.prefix_len()));
        let kept = pool.into_iter().flat_map(|pool| pool.auxiliary.values().copied());
        let addresses = Addresses::new(subnet, range, kept);
        Self { settings, subnet, mark, addresses }
    }

    /// Makes the bridge or repairs it.
    ///
    /// # Errors
    /// `Conflict` if the bridge can't have its name because something else does, or isn't ours and
    /// has another address.
    pub(super) fn ensure(&self, netlink: &Netlink) -> Result<()> {
        let alias = self.mark.on_bridge();
        device::ensure(netlink, &self.settings, self.subnet, &alias)
            .map_err(|error| error.while_doing(format!("set up the bridge {}", self.settings.name)))
    }

    /// Takes the bridge away, if it is one that we have made.
    pub(super) fn delete(&self) -> Result<()> {
        let netlink = Netlink::open(libc::NETLINK_ROUTE)?;
        let name = &self.settings.name;
        let found = netlink.link(name)?;
        match found.is_some_and(|link| link.alias.as_deref() == Some(&self.mark.on_bridge())) {
            true => device::delete(&netlink, name),
            false => Ok(()),
        }
    }

    /// What the packet filter has to know of it.
    pub(super) fn zone(&self) -> Zone {
        Zone {
            bridge: self.settings.name.clone(),
            subnet: self.subnet,
            neighbours: self.settings.neighbours,
            outside: self.settings.outside,
        }
    }

    /// Its addresses.
    pub(super) fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// The host's address for ports that are published without one.
    pub(super) fn default_bind(&self) -> Ipv4Addr {
        self.settings.default_bind
    }

    /// The settings of the default bridge, by the names that clients know.
    pub(super) fn options(&self) -> BTreeMap<String, String> {
        let mtu = self.settings.mtu.unwrap_or(device::DEFAULT_MTU);
        let options = [
            ("bridge.default_bridge", "true".to_owned()),
            ("bridge.enable_icc", "true".to_owned()),
            ("bridge.enable_ip_masquerade", "true".to_owned()),
            ("bridge.host_binding_ipv4", self.settings.default_bind.to_string()),
            ("bridge.name", self.settings.name.clone()),
            ("driver.mtu", mtu.to_string()),
        ];
        options.map(|(name, value)| (format!("com.docker.network.{name}"), value)).into()
    }

    /// Chooses an interface, and keeps its address from being given to another.
    pub(super) fn reserve(&self, wish: &Wish, endpoint_id: &str, name: &str) -> Result<Interface> {
        let address = match wish.address {
            Some(_) if self.mark.network.is_none() => {
                return Err(Error::invalid(
                    "user specified IP address is supported on user defined networks only",
                ));
            }
            Some(address) => self.addresses.take(address).map(|()| address)?,
            None => self.addresses.take_free()?,
        };
        Ok(Interface {
            name: name.to_owned(),
            host_name: device::cable_name(endpoint_id),
            address,
            prefix_length: self.subnet.prefix_length,
            gateway: (self.settings.outside != Outside::Unreachable).then_some(self.subnet.gateway),
            mac: wish.mac.unwrap_or_else(|| MacAddress::of(address)),
        })
    }

    /// Counts the interface's address as used.
    pub(super) fn adopt(&self, interface: &Interface) {
        self.addresses.adopt(interface.address);
    }

    /// Frees the interface's address.
    pub(super) fn release(&self, interface: &Interface) {
        self.addresses.release(interface.address);
    }

    /// Makes the container's interface and its cable to the bridge.
    pub(super) fn plug(
        &self,
        container: &str,
        interface: &Interface,
        inside: &Inside,
    ) -> Result<()> {
        let host = inside.host();
        let name = interface.name.as_str();
        // The network has no IPv6, so the interface must not make addresses up. To say so before it is
        // there takes no lock that others wait for.
        let ipv6 = |disabled| sysctl::set_if_present("ipv6/conf/default/disable_ipv6", disabled);
        ipv6("1")?;
        let mut outside = Batch::default();
        outside.add_cable(&NewCable {
            name: &interface.host_name,
            bridge: self.device_index(host)?,
            mtu: self.settings.mtu,
            peer: NewPeer { name, namespace: inside.namespace(), mac: interface.mac },
        });
        outside.set_alias(&interface.host_name, &self.mark.on_cable(container));
        outside.set_port(&interface.host_name, self.settings.neighbours == Neighbours::Apart);
        host.run(&outside)?;

        ipv6("0")?;
        let index = inside.index(name)?;
        let mut batch = Batch::default();
        batch.add_address(index, interface.address, interface.prefix_length);
        batch.set_up(name);
        inside.run(&batch)?;
        device::await_passing(host, &interface.host_name, &self.settings.name)?;

        // Neighbours may know the address by another hardware address, if its last owner had a
        // fixed one. Setting ours, though it is set, makes the kernel tell them.
        sysctl::set(&format!("ipv4/conf/{name}/arp_notify"), "1")?;
        let mut announcement = Batch::default();
        announcement.set_mac(name, interface.mac);
        inside.run(&announcement)
    }

    /// Takes the interface and its cable away; it is no error if they are gone.
    pub(super) fn unplug(interface: &Interface) -> Result<()> {
        device::delete(&Netlink::open(libc::NETLINK_ROUTE)?, &interface.host_name)
    }

    /// The number of the bridge, which is made again if someone has deleted it.
    fn device_index(&self, host: &Netlink) -> Result<u32> {
        let name = &self.settings.name;
        if let Ok(index) = host.index(name) {
            return Ok(index);
        }
        tracing::warn!(bridge = name, "the bridge was gone; made it again");
        self.ensure(host)?;
        host.index(name).map_err(|error| Error::io(format!("find {name}"), error))
    }
}

impl Mark {
    /// The note on a bridge.
    fn on_bridge(&self) -> String {
        match &self.network {
            None => device::mark_of(&self.manager, ""),
            Some(network) => device::network_mark_of(&self.manager, network),
        }
    }

    /// The note on our end of a container's cable.
    fn on_cable(&self, container: &str) -> String {
        device::mark_of(&self.manager, container)
    }
}
