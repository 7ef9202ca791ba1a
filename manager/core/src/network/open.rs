//! Opening the networks: what there is already, in the store, in the kernel and on the books.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, RwLock};

use super::bridge::settings::{Neighbours, Outside, Settings};
use super::bridge::{Bridge, Mark, device, plan_forwarding, subnet, turn_on_forwarding};
use super::connect::gateway_of;
use super::driver::Driver;
use super::firewall::{Firewall, Watch};
use super::held::Held;
use super::kernel::netlink::Netlink;
use super::known::{DEFINITIONS, Definition, Network};
use super::names::Names;
use super::ports::HostPorts;
use super::records::{self, Records};
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
        let default = default_bridge(&config, &store, &netlink, &definitions)?;
        let forwarding = plan_forwarding(&config.forwarding_note())?;
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
            let network = defined(definition, &config.bridge.name);
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
            if let Some((_, interface)) = gateway_of(&sandbox) {
                self.firewall.adopt(&sandbox.container, interface.address, &sandbox.ports);
            }
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
            match bridge.ensure(netlink) {
                Err(error) if network.definition.is_some() => {
                    tracing::error!(network = network.name, %error, "a network can't be used");
                }
                outcome => outcome?,
            }
        }
        // Not before the rules are there that say for whom.
        turn_on_forwarding()
    }
}

/// The default bridge, as the manager's settings have it.
fn default_bridge(
    config: &Config,
    store: &Store,
    netlink: &Netlink,
    others: &[Definition],
) -> Result<Bridge> {
    let wanted = &config.bridge;
    let settings = default_settings(wanted)?;
    device::check(&settings)?;
    let others: Vec<_> = others.iter().map(|definition| definition.subnet).collect();
    let subnet = device::find(netlink, &wanted.name)
        .and_then(|_| subnet::settle(store, netlink, wanted, &others))
        .map_err(|error| error.while_doing(format!("set up the bridge {}", wanted.name)))?;
    let mark = Mark { manager: wanted.name.clone(), network: None };
    Ok(Bridge::new(settings, subnet, None, mark))
}

/// What the manager's settings say of bridges.
pub(super) fn default_settings(wanted: &config::Bridge) -> Result<Settings> {
    Ok(Settings {
        name: wanted.name.clone(),
        mtu: wanted.mtu,
        default_bind: bind_address(wanted.default_bind)?,
        neighbours: Neighbours::Reachable,
        outside: Outside::AsHost,
    })
}

fn bind_address(address: IpAddr) -> Result<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => Err(Error::unsupported(format!(
            "publishing ports on the IPv6 address {address} by default"
        ))),
    }
}

/// A network that a user has made; nothing of it is made here.
pub(super) fn defined(definition: Definition, manager: &str) -> Network {
    let mark = Mark { manager: manager.to_owned(), network: Some(definition.id.clone()) };
    let bridge = Bridge::new(
        definition.bridge.clone(),
        definition.subnet,
        definition.ipam.pool.as_ref(),
        mark,
    );
    let (id, name, created) = (definition.id.clone(), definition.name.clone(), definition.created);
    Network::new(id, name, created, Driver::Bridge(Box::new(bridge)), Some(definition))
}
