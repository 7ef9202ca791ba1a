//! Making networks.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;

use super::bridge::device;
use super::bridge::settings::{self, Outside, Settings};
use super::family::{ByFamily, Family};
use super::info::Ipam;
use super::kernel::netlink::Netlink;
use super::known::{DEFINITIONS, Definition, Network};
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
}

impl Networks {
    pub(super) fn create_now(&self, new: NewNetwork) -> Result<String> {
        check_name(&new.name)?;
        check_driver(&new.driver)?;
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.networks().values().any(|network| network.name == new.name) {
            return Err(Error::conflict(format!("network with name {} already exists", new.name)));
        }
        let network = Arc::new(self.define(new)?);
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
        let options = self.with_default_options("bridge", &new);
        let families = families(&new, &options)?;
        let defaults = Settings {
            mtu: self.config.bridge.mtu,
            outside: if new.internal { Outside::Unreachable } else { Outside::AsHost },
            ..Settings::named(device::bridge_name(&id))
        };
        let bridge = Settings::with_options(defaults, &options)?;
        device::check(&bridge, families.ipv6)?;
        let networks: Vec<_> = self.networks().values().cloned().collect();
        let others = || networks.iter().filter_map(|network| network.driver.bridge());
        if others().any(|other| other.settings().name == bridge.name) {
            return Err(Error::new(
                Kind::Forbidden,
                format!("a network with the bridge name {} already exists", bridge.name),
            ));
        }
        check_pools(&new.ipam)?;
        let netlink = Netlink::open(libc::NETLINK_ROUTE)?;
        device::find(&netlink, &bridge.name)?;
        let taken = networks.iter().flat_map(|network| network.driver.subnets()).collect();
        let mut around = Surroundings::read(&netlink, &bridge.name, taken)?;
        let has_gateway = ByFamily {
            ipv4: bridge.gateways.ipv4.has_gateway() && !(bridge.inhibit_ipv4 && new.internal),
            ipv6: bridge.gateways.ipv6.has_gateway(),
        };
        let subnets = ipam::settle(&families, &new.ipam, &self.pools, &mut around, &has_gateway)?;
        let definition = Definition {
            id,
            name: new.name,
            created: Timestamp::now(),
            labels: new.labels,
            options,
            ipam: new.ipam,
            families,
            attachable: new.attachable,
            bridge,
            subnets,
            config_from: None,
        };
        Ok(open::defined(definition, &self.config.bridge.name))
    }

    /// The options that a user gives, and those that the manager's owner gives to all networks of
    /// this driver which don't say otherwise.
    fn with_default_options(&self, driver: &str, new: &NewNetwork) -> BTreeMap<String, String> {
        let mut options = self.config.network_options.get(driver).cloned().unwrap_or_default();
        options.extend(new.options.clone());
        // What is said about these outside of the options is what counts.
        for (family, name) in [(Family::V4, "enable_ipv4"), (Family::V6, "enable_ipv6")] {
            if new.families.get(family).is_some() {
                options.remove(&format!("com.docker.network.{name}"));
            }
        }
        options
    }

    /// Makes the bridge behind its fence, and writes the network down last: what was made of one
    /// that isn't written down is swept.
    fn make(&self, network: &Network) -> Result<()> {
        let (Some(bridge), Some(definition)) = (network.driver.bridge(), &network.definition)
        else {
            return Err(Error::system("a network that a user makes is a bridge"));
        };
        self.firewall.fence(bridge.zone())?;
        self.forward_for(bridge)?;
        bridge.ensure(&Netlink::open(libc::NETLINK_ROUTE)?)?;
        self.store.write(|change| change.put(&DEFINITIONS, &network.id, definition))
    }

    /// Takes what was made of a network away; what fails is logged, and swept at the next start.
    pub(super) fn unmake(&self, network: &Network) {
        let Some(bridge) = network.driver.bridge() else { return };
        for outcome in [bridge.delete(), self.firewall.unfence(&bridge.zone().bridge)] {
            if let Err(error) = outcome {
                tracing::warn!(network = network.name, %error, "take a network away");
            }
        }
    }
}

/// The kinds of addresses that a network has.
fn families(new: &NewNetwork, options: &BTreeMap<String, String>) -> Result<ByFamily<bool>> {
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

fn check_driver(driver: &str) -> Result<()> {
    match driver {
        "" | "default" | "bridge" => Ok(()),
        "host" | "null" => Err(Error::new(
            Kind::Forbidden,
            format!("only one instance of \"{driver}\" network is allowed"),
        )),
        "overlay" => Err(Error::new(
            Kind::Forbidden,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" \
             to connect this node to swarm and try again.",
        )),
        "macvlan" | "ipvlan" => Err(Error::unsupported(format!("the network driver {driver}"))),
        other => Err(Error::not_found(format!("plugin \"{other}\" not found"))),
    }
}
