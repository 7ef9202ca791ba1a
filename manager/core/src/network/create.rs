//! Making networks.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;

use super::bridge::device;
use super::bridge::settings::{Neighbours, Outside, Settings};
use super::info::Ipam;
use super::kernel::netlink::Netlink;
use super::known::{DEFINITIONS, Definition, Network};
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
        let defaults = Settings {
            name: device::bridge_name(&id),
            mtu: self.config.bridge.mtu,
            default_bind: Ipv4Addr::UNSPECIFIED,
            neighbours: Neighbours::Reachable,
            outside: if new.internal { Outside::Unreachable } else { Outside::AsHost },
        };
        let bridge = Settings::with_options(defaults, &new.options)?;
        device::check(&bridge)?;
        let networks: Vec<_> = self.networks().values().cloned().collect();
        let others = || networks.iter().filter_map(|network| network.driver.bridge());
        if others().any(|other| other.zone().bridge == bridge.name) {
            return Err(Error::new(
                Kind::Forbidden,
                format!("a network with the bridge name {} already exists", bridge.name),
            ));
        }
        let netlink = Netlink::open(libc::NETLINK_ROUTE)?;
        device::find(&netlink, &bridge.name)?;
        let taken = others().map(|other| other.subnet()).collect();
        let subnet = ipam::settle(&netlink, &bridge.name, new.ipam.pool.as_ref(), taken)?;
        let definition = Definition {
            id,
            name: new.name,
            created: Timestamp::now(),
            labels: new.labels,
            options: new.options,
            ipam: new.ipam,
            attachable: new.attachable,
            bridge,
            subnet,
        };
        Ok(open::defined(definition, &self.config.bridge.name))
    }

    /// Makes the bridge behind its fence, and writes the network down last: what was made of one
    /// that isn't written down is swept.
    fn make(&self, network: &Network) -> Result<()> {
        let (Some(bridge), Some(definition)) = (network.driver.bridge(), &network.definition)
        else {
            return Err(Error::system("a network that a user makes is a bridge"));
        };
        self.firewall.fence(bridge.zone())?;
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
