//! The drivers `macvlan` and `ipvlan`: containers whose interfaces stand on one of the host's, and
//! which are on its wire as hosts of their own. The host takes no part in what they send: they reach
//! others by the wire's own router, publish nothing, and do not reach the host itself.

mod layer;
mod parent;
mod settings;

use std::net::IpAddr;
use std::path::Path;

pub(super) use parent::Makers;
pub(super) use settings::{Settings, StackedDriver};

use super::addresses::{self, Addresses};
use super::endpoint::{Assigned, Interface, Wish};
use super::family::Family;
use super::furnish;
use super::info::{Pool, Subnet};
use super::kernel::netlink::{Batch, Netlink, Refusal};
use super::kernel::netns::{self, Inside};
use super::kernel::stack::NewStacked;
use super::mac::MacAddress;
use crate::error::{Error, Kind, Result};

/// A network that stands on an interface of the host.
pub(super) struct Stacked {
    settings: Settings,
    makers: Makers,
    addresses: Vec<Addresses>,
}

impl Stacked {
    /// The network with these settings and addresses; [`Stacked::ensure`] makes its parent.
    pub(super) fn new(
        settings: Settings,
        subnets: &[Subnet],
        pools: &[Pool],
        makers: Makers,
    ) -> Self {
        let addresses = subnets.iter().map(|subnet| {
            let pool = pools.iter().find(|pool| pool.subnet == subnet.net);
            let kept = pool.into_iter().flat_map(|pool| pool.auxiliary.values().copied());
            Addresses::new(*subnet, pool.and_then(|pool| pool.range), kept)
        });
        Self { settings, makers, addresses: addresses.collect() }
    }

    /// The driver's name.
    pub(super) fn name(&self) -> &'static str {
        self.settings.layer.name()
    }

    /// How it is.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its addresses.
    pub(super) fn subnets(&self) -> Vec<Subnet> {
        self.addresses.iter().map(Addresses::subnet).collect()
    }

    /// Makes its parent, if that isn't there and isn't the host's own.
    pub(super) fn ensure(&self, netlink: &Netlink) -> Result<()> {
        self.settings.parent.ensure(&self.makers, netlink)
    }

    /// Takes its parent away, if that was made for it.
    pub(super) fn delete(&self) -> Result<()> {
        self.settings.parent.delete(&self.makers, &Netlink::open(libc::NETLINK_ROUTE)?)
    }

    /// Chooses an interface, and keeps its addresses from being given to another.
    pub(super) fn reserve(&self, wish: &Wish, name: &str) -> Result<Interface> {
        if wish.mac.is_some() && !self.settings.layer.has_own_macs() {
            return Err(Error::system(
                "ipvlan interfaces do not support custom mac address assignment",
            ));
        }
        let ipv4 = self.assign(Family::V4, wish.ipv4.map(IpAddr::from))?;
        let ipv6 = match wish.takes(Family::V6) {
            true => self.assign(Family::V6, wish.ipv6.map(IpAddr::from)).inspect_err(|_| {
                let assigned = ipv4.iter();
                assigned.for_each(|one| addresses::release(&self.addresses, one.address));
            })?,
            false => None,
        };
        let mut interface = Interface {
            name: name.to_owned(),
            host_name: String::new(),
            ipv4,
            ipv6,
            link_local: wish.link_local.clone(),
            mac: MacAddress::of(IpAddr::from([0, 0, 0, 0])),
            sysctls: wish.sysctls.clone(),
        };
        match self.mac_for(wish, &interface) {
            Ok(mac) => interface.mac = mac,
            Err(error) => {
                let assigned = interface.addresses();
                assigned.for_each(|address| addresses::release(&self.addresses, address));
                return Err(error);
            }
        }
        Ok(interface)
    }

    /// The address of this kind that the wish is given, of the first subnet that has one; none if no
    /// subnet is of this kind.
    fn assign(&self, family: Family, wanted: Option<IpAddr>) -> Result<Option<Assigned>> {
        let mut failure = None;
        let all = || self.addresses.iter().filter(|one| one.subnet().family() == family);
        for addresses in all() {
            let subnet = addresses.subnet();
            let taken = match wanted {
                Some(address) if !subnet.contains(address) => continue,
                Some(address) => addresses.take(address).map(|()| address),
                None => addresses.take_free(),
            };
            match taken {
                Ok(address) => {
                    return Ok(Some(Assigned {
                        address,
                        prefix_length: subnet.prefix_length(),
                        gateway: self.gateway_of(&subnet),
                    }));
                }
                Err(error) if error.kind() == Kind::Exhausted => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        match (failure, wanted) {
            (Some(error), _) => Err(error),
            (None, Some(address)) if all().next().is_some() => Err(Error::invalid(format!(
                "no configured subnet or ip-range contain the IP address {address}"
            ))),
            (None, _) => Ok(None),
        }
    }

    /// Where containers with an address of this subnet reach everything else: the interface itself
    /// is said by the address that is none.
    fn gateway_of(&self, subnet: &Subnet) -> Option<IpAddr> {
        match (self.settings.leads_out(), self.settings.layer.routes()) {
            (false, _) => None,
            (true, true) => Some(subnet.family().unspecified()),
            (true, false) => subnet.gateway,
        }
    }

    /// The hardware address that it will have.
    fn mac_for(&self, wish: &Wish, interface: &Interface) -> Result<MacAddress> {
        let shares = !self.settings.layer.has_own_macs() || self.settings.layer.is_alone();
        let chosen = wish.mac.or_else(|| match shares {
            true => None,
            false => interface.addresses().next().map(MacAddress::of),
        });
        chosen.map_or_else(|| self.parents_mac(), Ok)
    }

    fn parents_mac(&self) -> Result<MacAddress> {
        let name = self.settings.parent.name();
        let link = Netlink::open(libc::NETLINK_ROUTE)?.link(name)?;
        link.and_then(|link| link.mac).ok_or_else(|| {
            Error::system(format!(
                "the parent interface {name} is gone, or has no hardware address"
            ))
        })
    }

    /// The addresses of its subnets.
    pub(super) fn addresses(&self) -> &[Addresses] {
        &self.addresses
    }

    /// Makes the container's interface.
    pub(super) fn plug(&self, interface: &Interface, inside: &Inside) -> Result<()> {
        let Settings { layer, parent, mtu, .. } = &self.settings;
        let (host, name) = (inside.host(), parent.name());
        let index = host.index(name).map_err(|error| Error::io(format!("find {name}"), error))?;
        let mut outside = Batch::default();
        outside.add_stacked(NewStacked {
            name: &interface.name,
            parent: index,
            namespace: inside.namespace(),
            // Where it is the parent's, the kernel gives it that.
            mac: layer.has_own_macs().then_some(interface.mac),
            mtu: *mtu,
            info: layer.info(),
        });
        furnish::born(interface, || host.run(&outside).map_err(|refusal| self.refused(refusal)))?;
        furnish::dress(interface, inside).map_err(|error| {
            error.while_doing(format!("set up {} on {name}, which must be up", interface.name))
        })?;
        match layer.has_own_macs() {
            true => furnish::announce(interface, inside),
            false => Ok(()),
        }
    }

    fn refused(&self, refusal: Refusal) -> Error {
        let (driver, parent) = (self.name(), self.settings.parent.name());
        let doing = format!("failed to create the {driver} port on {parent}");
        match refusal.errno {
            libc::EBUSY | libc::EINVAL => Error::system(format!(
                "{doing}: {refusal}; the interface may be a port of a bridge or a bond, or have \
                 containers of another driver or mode"
            )),
            _ => Error::from(refusal).while_doing(doing),
        }
    }
}

/// Takes away an interface that is in the namespace which the file `netns` holds; it is no error if
/// either is gone. A namespace that ends would take it along, but only some time later.
pub(super) fn unplug(netns: &Path, interface: &Interface) -> Result<()> {
    if !netns::is_held(netns) {
        return Ok(());
    }
    netns::enter(netns, |inside| inside.delete(&interface.name))
}
