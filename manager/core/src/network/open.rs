//! Opening the networks: what there is already, in the store, in the kernel and on the books.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use super::bridge::settings::{Neighbours, Outside, Settings};
use super::bridge::{Bridge, Mark, device, plan_forwarding, subnet, turn_on_forwarding};
use super::driver::{Driver, Plan};
use super::family::{ByFamily, Family};
use super::firewall::{Firewall, Forwarding, Watch};
use super::held::Held;
use super::info::Pool;
use super::kernel::netlink::Netlink;
use super::known::{DEFINITIONS, Definition, Network};
use super::names::Names;
use super::pools::Pools;
use super::ports::HostPorts;
use super::records::{self, Records};
use super::stacked::{Makers, Stacked};
use super::surroundings::Surroundings;
use super::{Networks, identity};
use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::store::Store;

impl Networks {
    pub(super) fn open_now(config: Config, store: Arc<Store>, events: Arc<Events>) -> Result<Self> {
        let netns_directory = config.netns_directory();
        records::make_directory(&netns_directory)?;
        let records = Records::open(config.endpoint_directory())?;
        let netlink = Netlink::open(libc::NETLINK_ROUTE)?;
        let definitions: Vec<_> =
            store.list(&DEFINITIONS)?.into_iter().map(|(_, definition)| definition).collect();
        // Two managers hardly ever choose the same addresses of IPv6.
        let pools = Pools::new(&config.address_pools, &identity::of(&store, "bridge")?.id);
        let default = default_bridge(&config, &store, &netlink, &definitions, &pools)?;
        let forwarding = match config.forwarding {
            config::Forwarding::ForContainers => plan_forwarding(&config.forwarding_note())?,
            config::Forwarding::ForAll | config::Forwarding::Untouched => {
                ByFamily { ipv4: Forwarding::ForAll, ipv6: Forwarding::ForAll }
            }
        };
        let firewall = Arc::new(Firewall::new(&config.bridge.name, forwarding)?);
        let mut networks = BTreeMap::new();
        for (name, driver) in [
            ("bridge", Driver::Bridge(Box::new(default))),
            ("host", Driver::Host),
            ("none", Driver::Null),
        ] {
            let identity = identity::of(&store, name)?;
            let network =
                Network::new(identity.id, name.to_owned(), identity.created, driver, None);
            networks.insert(network.id.clone(), Arc::new(network));
        }
        for definition in definitions {
            let network = defined(definition, &config);
            networks.insert(network.id.clone(), Arc::new(network));
        }
        let opened = Self {
            netns_directory,
            records,
            store,
            events,
            _watch: Watch::over(&firewall)?,
            firewall,
            ports: HostPorts::default(),
            pools,
            names: Names::new(&config),
            networks: RwLock::new(networks),
            making: Mutex::new(()),
            sandboxes: RwLock::default(),
            config,
        };
        opened.adopt()?;
        opened.make_bridges(&netlink)?;
        Ok(opened)
    }

    /// Takes over what containers have.
    fn adopt(&self) -> Result<()> {
        for sandbox in self.records.list()? {
            for endpoint in &sandbox.endpoints {
                if let Some(network) = self.networks().get(&endpoint.network_id) {
                    network.driver.adopt(endpoint);
                }
            }
            self.ports.adopt(&sandbox.container, &sandbox.ports);
            self.firewall.adopt(&sandbox.container, self.published(&sandbox));
            let held = Arc::new(Held::new(sandbox));
            self.sandboxes_mut().insert(held.container.clone(), held);
        }
        Ok(())
    }

    /// Makes or repairs the packet filter and all bridges. One network that can't be doesn't keep
    /// the others from being there; without the default one nothing is.
    fn make_bridges(&self, netlink: &Netlink) -> Result<()> {
        let networks: Vec<_> = self.networks().values().cloned().collect();
        let bridges =
            || networks.iter().filter_map(|network| Some((network, network.driver.bridge()?)));
        for (_, bridge) in bridges() {
            self.firewall.adopt_zone(bridge.zone());
        }
        self.firewall.lay()?;
        for (network, bridge) in bridges() {
            // Not before the rules are there that say for whom.
            let made = self.forward_for(bridge).and_then(|()| bridge.ensure(netlink));
            match made {
                Err(error) if network.definition.is_some() => {
                    tracing::error!(network = network.name, %error, "a network can't be used");
                }
                outcome => outcome?,
            }
        }
        for network in &networks {
            if let Some(stacked) = network.driver.stacked()
                && let Err(error) = stacked.ensure(netlink)
            {
                tracing::error!(network = network.name, %error, "a network can't be used");
            }
        }
        let mended = [self.make_lost(netlink), self.plug_in_again(netlink)];
        for error in mended.into_iter().filter_map(Result::err) {
            tracing::error!(%error, "containers that somebody has unplugged");
        }
        Ok(())
    }

    /// Has the host forward for the containers of a network.
    pub(super) fn forward_for(&self, bridge: &Bridge) -> Result<()> {
        if self.config.forwarding == config::Forwarding::Untouched {
            return Ok(());
        }
        let note = self.config.forwarding_note();
        bridge.subnets().iter().try_for_each(|subnet| turn_on_forwarding(subnet.family(), &note))
    }
}

/// The default bridge, as the manager's settings have it.
fn default_bridge(
    config: &Config,
    store: &Store,
    netlink: &Netlink,
    others: &[Definition],
    pools: &Pools,
) -> Result<Bridge> {
    let wanted = &config.bridge;
    let settings = default_settings(wanted);
    device::check(&settings, wanted.ipv6)?;
    let taken = others.iter().flat_map(|definition| definition.subnets.clone()).collect();
    let subnets = device::find(netlink, &wanted.name)
        .and_then(|_| Surroundings::read(netlink, &wanted.name, taken))
        .and_then(|around| subnet::settle(store, &around, wanted, pools))
        .map_err(|error| error.while_doing(format!("set up the bridge {}", wanted.name)))?;
    let mark = Mark { manager: wanted.name.clone(), network: None };
    // Containers get addresses of the ranges, if there are any.
    let ranges: Vec<_> = subnets
        .iter()
        .filter_map(|subnet| {
            let range = (*wanted.ranges.get(subnet.family()))?;
            Some(Pool { range: Some(range), ..Pool::of(subnet.net) })
        })
        .collect();
    for family in Family::BOTH {
        if let Some(address) = wanted.gateways.get(family)
            && !subnets.iter().any(|subnet| subnet.contains(*address))
        {
            return Err(Error::invalid(format!(
                "the default gateway {address} is not on the bridge {}",
                wanted.name
            )));
        }
    }
    Ok(Bridge::new(settings, &subnets, &ranges, mark))
}

/// What the manager's settings say of the default bridge.
fn default_settings(wanted: &config::Bridge) -> Settings {
    Settings {
        mtu: wanted.mtu,
        default_bind: wanted.default_bind,
        neighbours: if wanted.icc { Neighbours::Reachable } else { Neighbours::Apart },
        outside: if wanted.masquerade { Outside::AsHost } else { Outside::AsThemselves },
        way_out: wanted.gateways,
        ..Settings::named(wanted.name.clone())
    }
}

/// A network that a user has made; nothing of it is made here.
pub(super) fn defined(definition: Definition, config: &Config) -> Network {
    let Definition { plan, subnets, ipam, .. } = &definition;
    let driver = match plan {
        Plan::Bridge(settings) => {
            let manager = config.bridge.name.clone();
            let mark = Mark { manager, network: Some(definition.id.clone()) };
            let bridge = Bridge::new(settings.clone(), subnets, &ipam.pools, mark);
            Driver::Bridge(Box::new(bridge))
        }
        Plan::Stacked(settings) => {
            let makers = Makers::of(config);
            let stacked = Stacked::new(settings.clone(), subnets, &ipam.pools, makers);
            Driver::Stacked(Box::new(stacked))
        }
        Plan::Template => Driver::Null,
    };
    let (id, name, created) = (definition.id.clone(), definition.name.clone(), definition.created);
    Network::new(id, name, created, driver, Some(definition))
}
