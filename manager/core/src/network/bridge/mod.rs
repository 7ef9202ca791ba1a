//! The driver `bridge`: containers on a switch of the host, behind its addresses.

pub(super) mod device;
mod forwarding;
pub(super) mod gateway;
pub(super) mod settings;
pub(super) mod subnet;

pub(super) use forwarding::{plan as plan_forwarding, turn_on as turn_on_forwarding};

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::addresses::{self, Addresses};
use super::endpoint::{Assigned, Interface, Wish};
use super::family::Family;
use super::firewall::Zone;
use super::furnish;
use super::info::{Pool, Subnet};
use super::kernel::link::{NewCable, NewPeer};
use super::kernel::netlink::{Batch, Netlink};
use super::kernel::netns::Inside;
use super::mac::MacAddress;
use crate::error::{Error, Kind, Result};
use settings::{Neighbours, Outside, Settings};

/// How many interfaces a bridge can have: the kernel numbers its ports with ten bits, from 1.
const MOST_PORTS: usize = 1023;

/// A network that is a bridge of the host.
pub(super) struct Bridge {
    settings: Settings,
    /// What is written on the links that it makes.
    mark: Mark,
    /// Those of each kind that it has.
    addresses: Vec<Addresses>,
}

/// Whose a bridge is.
pub(super) struct Mark {
    /// The manager, by the name of its default bridge.
    pub(super) manager: String,
    /// The network's id; none: it is the default one.
    pub(super) network: Option<String>,
}

impl Bridge {
    /// The bridge with these settings and addresses, of which `pools` may say more;
    /// [`Bridge::ensure`] makes it.
    pub(super) fn new(settings: Settings, subnets: &[Subnet], pools: &[Pool], mark: Mark) -> Self {
        let addresses = subnets.iter().map(|subnet| {
            let pool = pools.iter().find(|pool| pool.family() == subnet.family());
            let kept = pool.into_iter().flat_map(|pool| pool.auxiliary.values().copied());
            let kept = kept.chain(*settings.way_out.get(subnet.family()));
            Addresses::new(*subnet, pool.and_then(|pool| pool.range), kept)
        });
        Self { addresses: addresses.collect(), settings, mark }
    }

    /// Makes the bridge or repairs it.
    ///
    /// # Errors
    /// `Conflict` if the bridge can't have its name because something else does, or isn't ours and
    /// has other addresses.
    pub(super) fn ensure(&self, netlink: &Netlink) -> Result<()> {
        let alias = self.mark.on_bridge();
        device::ensure(netlink, &self.settings, &self.subnets(), &alias)
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
            subnets: self.subnets(),
            neighbours: self.settings.neighbours,
            outside: self.settings.outside,
            gateways: self.settings.gateways,
            seen_as: self.settings.seen_as,
            trusted: self.settings.trusted.clone(),
        }
    }

    /// Its addresses.
    pub(super) fn subnets(&self) -> Vec<Subnet> {
        self.addresses.iter().map(Addresses::subnet).collect()
    }

    /// How it shall be.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings of the default bridge, by the names that clients know.
    pub(super) fn options(&self) -> BTreeMap<String, String> {
        let Settings { neighbours, outside, mtu, .. } = self.settings;
        let mtu = mtu.unwrap_or(device::DEFAULT_MTU);
        let options = [
            ("bridge.default_bridge", "true".to_owned()),
            ("bridge.enable_icc", (neighbours == Neighbours::Reachable).to_string()),
            ("bridge.enable_ip_masquerade", (outside == Outside::AsHost).to_string()),
            ("bridge.host_binding_ipv4", self.settings.default_bind.to_string()),
            ("bridge.name", self.settings.name.clone()),
            ("driver.mtu", mtu.to_string()),
        ];
        options.map(|(name, value)| (format!("com.docker.network.{name}"), value)).into()
    }

    /// Chooses an interface, and keeps its addresses from being given to another.
    pub(super) fn reserve(&self, wish: &Wish, endpoint_id: &str, name: &str) -> Result<Interface> {
        let mut assigned: Vec<Assigned> = Vec::with_capacity(self.addresses.len());
        let wanted = |addresses: &&Addresses| wish.takes(addresses.subnet().family());
        for addresses in self.addresses.iter().filter(wanted) {
            match self.assign(addresses, wish) {
                Ok(one) => assigned.push(one),
                Err(error) => {
                    self.give_back(&assigned);
                    return Err(error);
                }
            }
        }
        if self.addresses.iter().any(|addresses| addresses.used_count() > MOST_PORTS) {
            self.give_back(&assigned);
            return Err(self.is_full());
        }
        let of = |family| {
            assigned.iter().find(|one: &&Assigned| Family::of(one.address) == family).copied()
        };
        let first = assigned.first().map(|one| MacAddress::of(one.address));
        let Some(mac) = wish.mac.or(first) else {
            return Err(Error::system("a bridge without addresses"));
        };
        Ok(Interface {
            name: name.to_owned(),
            host_name: device::cable_name(endpoint_id),
            ipv4: of(Family::V4),
            ipv6: of(Family::V6),
            link_local: wish.link_local.clone(),
            mac,
            sysctls: wish.sysctls.clone(),
        })
    }

    fn give_back(&self, assigned: &[Assigned]) {
        assigned.iter().for_each(|one| addresses::release(&self.addresses, one.address));
    }

    /// The address of one kind that the wish is given.
    fn assign(&self, addresses: &Addresses, wish: &Wish) -> Result<Assigned> {
        let subnet = addresses.subnet();
        let family = subnet.family();
        let wanted = match family {
            Family::V4 => wish.ipv4.map(IpAddr::from),
            Family::V6 => wish.ipv6.map(IpAddr::from),
        };
        let address = match wanted {
            Some(_) if self.mark.network.is_none() => {
                return Err(Error::invalid(
                    "user specified IP address is supported on user defined networks only",
                ));
            }
            Some(address) => addresses.take(address).map(|()| address)?,
            None => addresses.take_free()?,
        };
        let gateway = self.settings.way_out.get(family).or(subnet.gateway);
        Ok(Assigned {
            address,
            prefix_length: subnet.prefix_length(),
            gateway: gateway.filter(|_| self.settings.outside != Outside::Unreachable),
        })
    }

    /// The addresses of its subnets.
    pub(super) fn addresses(&self) -> &[Addresses] {
        &self.addresses
    }

    /// Makes the container's interface and its cable to the bridge.
    pub(super) fn plug(
        &self,
        container: &str,
        interface: &Interface,
        inside: &Inside,
    ) -> Result<()> {
        let host = inside.host();
        let bridge = self.index(host).ok_or_else(|| self.is_gone())?;
        let peer =
            NewPeer { name: &interface.name, namespace: inside.namespace(), mac: interface.mac };
        let mut outside = Batch::default();
        let (name, mtu) = (interface.host_name.as_str(), self.settings.mtu);
        outside.add_cable(&NewCable { name, bridge, mtu, peer });
        outside.set_alias(name, &self.mark.on_cable(container));
        outside.set_port(name, self.settings.neighbours == Neighbours::Apart);
        furnish::born(interface, || {
            host.run(&outside).map_err(|refusal| match refusal.errno {
                libc::EXFULL => self.is_full(),
                _ => refusal.into(),
            })
        })?;
        furnish::dress(interface, inside)?;
        device::await_passing(host, name, &self.settings.name)?;
        furnish::announce(interface, inside)
    }

    /// Takes the interface and its cable away; it is no error if they are gone.
    pub(super) fn unplug(interface: &Interface) -> Result<()> {
        device::delete(&Netlink::open(libc::NETLINK_ROUTE)?, &interface.host_name)
    }

    /// Plugs in a cable that is there.
    pub(super) fn plug_in(&self, batch: &mut Batch, interface: &Interface, index: u32) {
        batch.set_bridge(&interface.host_name, index);
        batch.set_port(&interface.host_name, self.settings.neighbours == Neighbours::Apart);
    }

    /// The number of the bridge, if it is there.
    pub(super) fn index(&self, host: &Netlink) -> Option<u32> {
        host.index(&self.settings.name).ok()
    }
}

impl Bridge {
    fn is_gone(&self) -> Error {
        Error::system(format!("the bridge {} is gone", self.settings.name))
    }

    fn is_full(&self) -> Error {
        let name = &self.settings.name;
        Error::new(
            Kind::Exhausted,
            format!(
                "the bridge {name} has {MOST_PORTS} interfaces, as many as the kernel lets a bridge \
                 have; put the container on another network"
            ),
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_that_is_full_is_known_before_anything_is_made() {
        let mark = Mark { manager: "bridge0".to_owned(), network: Some("n".to_owned()) };
        let subnet = Subnet::of("10.5.0.1".parse().unwrap(), 16);
        let bridge = Bridge::new(Settings::named("br-n".to_owned()), &[subnet], &[], mark);
        let reserve = || bridge.reserve(&Wish::default(), "0123456789ab", "eth0");
        let all: Vec<_> = (0..MOST_PORTS).map(|_| reserve().unwrap()).collect();
        let error = reserve().unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(error.to_string().contains("1023"), "{error}");
        bridge.give_back(&all[7].ipv4.map(|one| vec![one]).unwrap());
        assert_eq!(reserve().unwrap().ipv4, all[7].ipv4);
    }
}
