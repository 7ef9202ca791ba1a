//! Making networks.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;

use super::bridge::device;
use super::bridge::settings::{self, Outside, Settings};
use super::driver::{Driver, Plan};
use super::family::{ByFamily, Family};
use super::info::{Ipam, Subnet};
use super::kernel::netlink::Netlink;
use super::known::{DEFINITIONS, Definition, Network};
use super::stacked::{self, Makers, Stacked, StackedDriver};
use super::surroundings::Surroundings;
use super::{Networks, identity, ipam, open};
use crate::error::{Error, Kind, Result};
use crate::events::{Event, EventType};

/// Names that no user can give to a network.
const PREDEFINED: [&str; 4] = ["bridge", "host", "none", "default"];

/// A network that a user wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewNetwork {
    /// Its name.
    pub name: String,
    /// The name of its driver; empty: `bridge`.
    pub driver: String,
    /// The driver's options, by docker's names.
    pub options: BTreeMap<String, String>,
    /// Its user's notes.
    pub labels: BTreeMap<String, String>,
    /// Whether it has addresses of each kind; none: as its options say, or else IPv4 alone.
    pub families: ByFamily<Option<bool>>,
    /// Its addresses.
    pub ipam: Ipam,
    /// Whether its containers reach nothing else.
    pub internal: bool,
    /// Whether containers that belong to no service may join.
    pub attachable: bool,
    /// Whether it is only what other networks are made from.
    pub config_only: bool,
    /// The network that it is made from, of which nothing is said here then.
    pub config_from: Option<String>,
}

impl Networks {
    pub(super) fn create_now(&self, new: NewNetwork) -> Result<String> {
        check_name(&new.name)?;
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.networks().values().any(|network| network.name == new.name) {
            return Err(Error::conflict(format!("network with name {} already exists", new.name)));
        }
        let network = Arc::new(match new.config_only {
            true => self.define_template(new)?,
            false => self.define(self.filled_in(new)?)?,
        });
        let made = self.make(&network);
        if let Err(error) = made {
            self.unmake(&network);
            return Err(error);
        }
        self.networks_mut().insert(network.id.clone(), Arc::clone(&network));
        self.events.publish(event(&network, "create"));
        Ok(network.id.clone())
    }

    /// Decides all of a network; nothing of it is made yet.
    fn define(&self, new: NewNetwork) -> Result<Network> {
        let id = identity::random();
        let driver = UserDriver::named(&new.driver)?;
        let options = self.with_default_options(driver.name(), &new);
        let families = families(&new, &options)?;
        let networks: Vec<_> = self.networks().values().cloned().collect();
        let netlink = Netlink::open(libc::NETLINK_ROUTE)?;
        let plan = match driver {
            UserDriver::Bridge => {
                check_pools(&new.ipam)?;
                let bridge = self.plan_bridge(&id, &new, &options)?;
                check_bridge(&bridge, families.ipv6, &networks, &netlink)?;
                Plan::Bridge(bridge)
            }
            UserDriver::Stacked(driver) => {
                let makers = Makers::of(&self.config);
                let mut settings =
                    stacked::Settings::read(driver, &id, &options, &makers, &netlink)?;
                settings.internal = new.internal;
                check_parent(&settings, &networks)?;
                Plan::Stacked(settings)
            }
        };
        let taken = networks.iter().flat_map(|network| network.driver.subnets()).collect();
        let subnets = self.settle(&plan, &new, &families, taken, &netlink)?;
        let definition = Definition {
            id,
            name: new.name,
            created: Timestamp::now(),
            labels: new.labels,
            options,
            ipam: new.ipam,
            families,
            attachable: new.attachable,
            plan,
            subnets,
            config_from: new.config_from,
        };
        Ok(open::defined(definition, &self.config))
    }

    fn plan_bridge(
        &self,
        id: &str,
        new: &NewNetwork,
        options: &BTreeMap<String, String>,
    ) -> Result<Settings> {
        let defaults = Settings {
            mtu: self.config.bridge.mtu,
            outside: if new.internal { Outside::Unreachable } else { Outside::AsHost },
            ..Settings::named(device::bridge_name(id))
        };
        Settings::with_options(defaults, options)
    }

    /// The addresses of a network like this.
    fn settle(
        &self,
        plan: &Plan,
        new: &NewNetwork,
        families: &ByFamily<bool>,
        taken: Vec<Subnet>,
        netlink: &Netlink,
    ) -> Result<Vec<Subnet>> {
        let (mut around, has_gateway) = match plan {
            Plan::Bridge(bridge) => {
                let ipv4 = bridge.gateways.ipv4.has_gateway();
                let ipv4 = ipv4 && !(bridge.inhibit_ipv4 && new.internal);
                let ipv6 = bridge.gateways.ipv6.has_gateway();
                let around = Surroundings::read(netlink, &bridge.name, taken)?;
                (around, ByFamily { ipv4, ipv6 })
            }
            Plan::Stacked(settings) => {
                let has_gateway = settings.leads_out();
                let mut around = Surroundings::read(netlink, settings.parent.name(), taken)?;
                // Those that are named may well be those of the wire that the host is on, too.
                if !new.ipam.pools.is_empty() {
                    around.neighbours.clear();
                }
                (around, ByFamily { ipv4: has_gateway, ipv6: has_gateway })
            }
            Plan::Template => return Ok(Vec::new()),
        };
        ipam::settle(families, &new.ipam, &self.pools, &mut around, &has_gateway)
    }

    /// The options that a user gives, and those that the manager's owner gives to all networks of
    /// this driver which don't say otherwise.
    fn with_default_options(&self, driver: &str, new: &NewNetwork) -> BTreeMap<String, String> {
        let defaults = match new.config_from {
            None => self.config.network_options.get(driver).cloned(),
            Some(_) => None,
        };
        let mut options = defaults.unwrap_or_default();
        options.extend(new.options.clone());
        // What is said about these outside of the options is what counts.
        for (family, name) in [(Family::V4, "enable_ipv4"), (Family::V6, "enable_ipv6")] {
            if new.families.get(family).is_some() {
                options.remove(&format!("com.docker.network.{name}"));
            }
        }
        options
    }

    /// Makes the bridge behind its fence, or the interface that containers stand on, and writes the
    /// network down last: what was made of one that isn't written down is swept.
    fn make(&self, network: &Network) -> Result<()> {
        let netlink = Netlink::open(libc::NETLINK_ROUTE)?;
        match &network.driver {
            Driver::Bridge(bridge) => {
                self.firewall.fence(bridge.zone())?;
                self.forward_for(bridge)?;
                bridge.ensure(&netlink)?;
            }
            Driver::Stacked(stacked) => stacked.ensure(&netlink)?,
            Driver::Host | Driver::Null => {}
        }
        match &network.definition {
            Some(made) => self.store.write(|change| change.put(&DEFINITIONS, &network.id, made)),
            None => Ok(()),
        }
    }

    /// Takes what was made of a network away; what fails is logged, and swept at the next start.
    pub(super) fn unmake(&self, network: &Network) {
        let outcomes = match &network.driver {
            Driver::Bridge(bridge) => {
                vec![bridge.delete(), self.firewall.unfence(&bridge.zone().bridge)]
            }
            Driver::Stacked(stacked) if !self.is_parent_of_others(network, stacked) => {
                vec![stacked.delete()]
            }
            Driver::Stacked(_) | Driver::Host | Driver::Null => Vec::new(),
        };
        for error in outcomes.into_iter().filter_map(Result::err) {
            tracing::warn!(network = network.name, %error, "take a network away");
        }
    }

    /// Whether other networks stand on the same interface.
    fn is_parent_of_others(&self, network: &Network, stacked: &Stacked) -> bool {
        let parent = stacked.settings().parent.name();
        self.networks().values().filter(|other| other.id != network.id).any(|other| {
            other.driver.stacked().is_some_and(|other| other.settings().parent.name() == parent)
        })
    }
}

/// A driver of networks that users make.
enum UserDriver {
    Bridge,
    Stacked(StackedDriver),
}

impl UserDriver {
    /// The driver of this name.
    ///
    /// # Errors
    /// In docker's words, if users make no networks of it.
    fn named(name: &str) -> Result<Self> {
        match name {
            "" | "default" | "bridge" => Ok(Self::Bridge),
            "macvlan" => Ok(Self::Stacked(StackedDriver::Macvlan)),
            "ipvlan" => Ok(Self::Stacked(StackedDriver::Ipvlan)),
            "host" | "null" => Err(Error::new(
                Kind::Forbidden,
                format!("only one instance of \"{name}\" network is allowed"),
            )),
            "overlay" => Err(Error::new(
                Kind::Forbidden,
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm \
                 join\" to connect this node to swarm and try again.",
            )),
            other => Err(Error::not_found(format!("plugin \"{other}\" not found"))),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Stacked(StackedDriver::Macvlan) => "macvlan",
            Self::Stacked(StackedDriver::Ipvlan) => "ipvlan",
        }
    }
}

/// Whether there can be a bridge like this beside those that there are.
fn check_bridge(
    bridge: &Settings,
    has_ipv6: bool,
    networks: &[Arc<Network>],
    netlink: &Netlink,
) -> Result<()> {
    device::check(bridge, has_ipv6)?;
    let mut others = networks.iter().filter_map(|network| network.driver.bridge());
    if others.any(|other| other.settings().name == bridge.name) {
        return Err(Error::new(
            Kind::Forbidden,
            format!("a network with the bridge name {} already exists", bridge.name),
        ));
    }
    device::find(netlink, &bridge.name).map(drop)
}

/// Whether containers can stand on an interface as these settings say, beside those that do.
fn check_parent(settings: &stacked::Settings, networks: &[Arc<Network>]) -> Result<()> {
    networks.iter().try_for_each(|network| match network.driver.stacked() {
        Some(other) => settings.check_beside(other.settings(), &network.id),
        None => Ok(()),
    })
}

/// The kinds of addresses that a network has.
pub(super) fn families(
    new: &NewNetwork,
    options: &BTreeMap<String, String>,
) -> Result<ByFamily<bool>> {
    let asked = settings::families(options)?;
    let families = ByFamily {
        ipv4: new.families.ipv4.unwrap_or(asked.ipv4),
        ipv6: new.families.ipv6.unwrap_or(asked.ipv6),
    };
    match families {
        ByFamily { ipv4: false, ipv6: false } => {
            Err(Error::invalid("IPv4 or IPv6 must be enabled"))
        }
        families => Ok(families),
    }
}

/// A bridge has one subnet of each kind.
fn check_pools(ipam: &Ipam) -> Result<()> {
    match Family::BOTH.iter().any(|family| ipam.pools_of(*family).count() > 1) {
        true => Err(Error::new(Kind::Forbidden, "bridge driver doesn't support multiple subnets")),
        false => Ok(()),
    }
}

/// An event about a network.
pub(super) fn event(network: &Network, action: &str) -> Event {
    Event::now(EventType::Network, action, network.id.clone())
        .with("name", network.name.clone())
        .with("type", network.driver.name())
}

fn check_name(name: &str) -> Result<()> {
    if PREDEFINED.contains(&name) {
        return Err(Error::new(
            Kind::Forbidden,
            format!("operation is not permitted on predefined {name} network "),
        ));
    }
    if name.trim().is_empty() {
        return Err(Error::invalid("invalid name: name is empty"));
    }
    Ok(())
}
