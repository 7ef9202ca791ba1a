//! Networks: what a container's packets can reach, and who can reach it.
//!
//! Everything here is in the kernel once it is made, and works on without a manager: links,
//! namespaces held by mounts, sets and maps of the packet filter. Names are answered by a process of
//! their own, which goes on without a manager, too ([`names`]). [`Networks`] keeps the books.

mod addresses;
mod bridge;
mod connect;
mod create;
mod driver;
mod endpoint;
mod ephemeral;
mod family;
mod firewall;
mod furnish;
mod held;
mod identity;
mod info;
mod ipam;
mod join;
mod kernel;
mod known;
mod mac;
mod mend;
mod names;
mod open;
mod pools;
mod ports;
mod records;
mod remove;
mod reservation;
mod stacked;
mod surroundings;
mod template;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use create::NewNetwork;
pub use endpoint::{
    Assigned, Connect, Connected, Endpoint, Forwarding, Interface, PortChoice, PortRequest,
    Protocol, PublishedPort, Reservation, Sandbox, Standpoint, Sysctl, Wish,
};
pub use family::{ByFamily, Family};
pub use info::{Ipam, NetworkInfo, Pool, Subnet};
pub(crate) use ipam::all_wrong;
pub use mac::MacAddress;
pub(crate) use names::ADDRESS as NAME_SERVER;
pub use names::run_if_resolver;
pub use pools::AddressPool;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::store::Store;
use firewall::{Firewall, Watch};
use held::Held;
use known::Network;
use names::Names;
use pools::Pools;
use ports::HostPorts;
use records::Records;

/// The networks of this manager and what is connected to them.
pub struct Networks {
    config: Config,
    netns_directory: PathBuf,
    records: Records,
    store: Arc<Store>,
    events: Arc<Events>,
    firewall: Arc<Firewall>,
    /// Ends with the networks.
    _watch: Watch,
    ports: HostPorts,
    pools: Pools,
    names: Names,
    /// By id.
    networks: RwLock<BTreeMap<String, Arc<Network>>>,
    /// Held by who makes or removes a network.
    making: Mutex<()>,
    /// By container.
    sandboxes: RwLock<BTreeMap<String, Arc<Held>>>,
}

impl Networks {
    /// Makes or repairs the bridges and our packet filter, and takes over what containers that
    /// may still run have. Call [`Networks::retain`] when it is known which do.
    ///
    /// # Errors
    /// `Invalid` or `Unsupported` for settings that can't be, `Conflict` if something else on the
    /// host has the default bridge's name or addresses, `Exhausted` if no subnet is free for it,
    /// `Unavailable` if `nft` is missing, else `System`.
    pub async fn open(
        config: &Config,
        store: Arc<Store>,
        events: Arc<Events>,
    ) -> Result<Arc<Self>> {
        let config = config.clone();
        off_the_reactor(move || {
            let networks = Arc::new(Self::open_now(config, store, events)?);
            networks.watch_names();
            Ok(networks)
        })
        .await
    }

    /// Connects a container that is about to start: its network namespace, its interfaces, its
    /// published ports. Either all of it is there on return, or nothing. If the container has
    /// something from before, that is taken away first, which may have to wait for the kernel.
    ///
    /// # Errors
    /// `NotFound` if there is no such network, `Exhausted` if it has no free address,
    /// `Unsupported` for ports that can't be published, `System` if a port is in use (with the
    /// words that docker has for it) or the kernel refuses something.
    pub async fn connect(self: &Arc<Self>, request: Connect) -> Result<Connected> {
        let networks = Arc::clone(self);
        off_the_reactor(move || networks.connect_now(&request)).await
    }

    /// Takes away what a container has of its networks; it is no error if that is nothing.
    ///
    /// On return nobody is sent to the container any more and its ports are free. The kernel takes
    /// some more tens of milliseconds to delete the interfaces; that isn't waited for, and their
    /// addresses aren't given to others until it is done.
    ///
    /// # Errors
    /// What went wrong before that; what goes wrong later is logged. Either way what is left stays
    /// on the books, and is taken away when the container is next connected or disconnected, or
    /// by [`Networks::retain`].
    pub async fn disconnect(self: &Arc<Self>, container: &str) -> Result<()> {
        let Some(held) = self.held(container) else { return Ok(()) };
        let (networks, leaving) = (Arc::clone(self), Arc::clone(&held));
        off_the_reactor(move || networks.cut_off(&leaving)).await?;
        let networks = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = networks.take_away(&held) {
                let container = &held.container;
                tracing::warn!(container, %error, "disconnecting a container");
            }
        });
        Ok(())
    }

    /// Connects a container that runs to one more network; `name` is the container's. Gives what it
    /// has then.
    ///
    /// # Errors
    /// As [`Networks::connect`]; [`Kind::Forbidden`](crate::Kind::Forbidden) if it is on that
    /// network already, `Conflict` if it doesn't run.
    pub async fn join(
        self: &Arc<Self>,
        container: &str,
        name: &str,
        wish: Wish,
    ) -> Result<Sandbox> {
        let (networks, container) = (Arc::clone(self), container.to_owned());
        let name = name.to_owned();
        off_the_reactor(move || networks.join_now(&container, &name, &wish)).await
    }

    /// Disconnects a container that runs from one of its networks. Gives what it has then.
    ///
    /// # Errors
    /// `System` if it isn't on that network, or the kernel refuses.
    pub async fn leave(self: &Arc<Self>, container: &str, network_id: &str) -> Result<Sandbox> {
        let (networks, container) = (Arc::clone(self), container.to_owned());
        let network_id = network_id.to_owned();
        off_the_reactor(move || networks.leave_now(&container, &network_id)).await
    }

    /// Lets a container that runs be called something else on its networks. Gives what it has then.
    ///
    /// # Errors
    /// `System` if that can't be written down.
    pub async fn call(
        self: &Arc<Self>,
        container: &str,
        names: BTreeMap<String, Vec<String>>,
    ) -> Result<Option<Sandbox>> {
        let (networks, container) = (Arc::clone(self), container.to_owned());
        off_the_reactor(move || networks.call_now(&container, &names)).await
    }

    /// Makes a network; gives its id.
    ///
    /// # Errors
    /// `Conflict` if there is one of this name, [`Kind::Forbidden`](crate::Kind::Forbidden) if it
    /// is one of those that are always there, or for addresses that another network has, `Invalid`
    /// or `Unsupported` for settings that can't be, `Exhausted` if no addresses are free.
    pub async fn create(self: &Arc<Self>, new: NewNetwork) -> Result<String> {
        let networks = Arc::clone(self);
        off_the_reactor(move || networks.create_now(new)).await
    }

    /// Removes a network.
    ///
    /// # Errors
    /// `NotFound` if there is none, [`Kind::Forbidden`](crate::Kind::Forbidden) if containers are on
    /// it or it is one of those that are always there.
    pub async fn remove(self: &Arc<Self>, name_or_id: &str) -> Result<()> {
        let (networks, name) = (Arc::clone(self), name_or_id.to_owned());
        off_the_reactor(move || networks.remove_now(&name)).await
    }

    /// Takes away what belongs to no container of `running`, and carries our mark.
    ///
    /// # Errors
    /// All that went wrong, together.
    pub async fn retain(self: &Arc<Self>, running: &HashSet<String>) -> Result<()> {
        let networks = Arc::clone(self);
        let running = running.clone();
        off_the_reactor(move || networks.retain_now(&running)).await
    }

    /// Every network, in the order of their names.
    pub fn list(&self) -> Vec<NetworkInfo> {
        let networks: Vec<_> = self.networks().values().cloned().collect();
        let mut list: Vec<_> = networks.iter().map(|network| Self::describe(network)).collect();
        list.sort_by(|one, other| one.name.cmp(&other.name));
        list
    }

    /// The network with this name, id or beginning of an id.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Invalid` if there are several.
    pub fn find(&self, name_or_id: &str) -> Result<NetworkInfo> {
        self.network(name_or_id).map(|network| Self::describe(&network))
    }

    /// The id of the network with this name, id or beginning of an id.
    ///
    /// # Errors
    /// As [`Networks::find`].
    pub fn id_of(&self, name_or_id: &str) -> Result<String> {
        self.network(name_or_id).map(|network| network.id.clone())
    }

    /// What `host-gateway` stands for: the host's addresses on the default network, unless its owner
    /// has named others.
    pub fn host_gateways(&self) -> Vec<IpAddr> {
        if !self.config.host_gateways.is_empty() {
            return self.config.host_gateways.clone();
        }
        let default = self.network("bridge").map(|network| network.driver.subnets());
        default.unwrap_or_default().iter().filter_map(|subnet| subnet.gateway).collect()
    }

    /// What a container has, as long as others reach it.
    pub fn sandbox(&self, container: &str) -> Option<Arc<Sandbox>> {
        let held = self.held(container)?;
        (!held.is_cut_off()).then(|| held.sandbox())
    }

    fn network(&self, name_or_id: &str) -> Result<Arc<Network>> {
        let networks = self.networks();
        if let Some(network) = networks.get(name_or_id) {
            return Ok(Arc::clone(network));
        }
        if let Some(network) = networks.values().find(|network| network.name == name_or_id) {
            return Ok(Arc::clone(network));
        }
        let mut matches = networks
            .values()
            .filter(|network| !name_or_id.is_empty() && network.id.starts_with(name_or_id));
        match (matches.next(), matches.next()) {
            (Some(network), None) => Ok(Arc::clone(network)),
            (None, _) => Err(known::not_found(name_or_id)),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "network {name_or_id} is ambiguous ({} matches found based on ID prefix)",
                2 + matches.count()
            ))),
        }
    }

    fn describe(network: &Network) -> NetworkInfo {
        let definition = network.definition.as_ref();
        NetworkInfo {
            id: network.id.clone(),
            name: network.name.clone(),
            driver: network.driver.name(),
            created: network.created,
            families: definition.map_or_else(
                || {
                    let has = |family| {
                        network.driver.subnets().iter().any(|subnet| subnet.family() == family)
                    };
                    ByFamily { ipv4: true, ipv6: has(Family::V6) }
                },
                |definition| definition.families,
            ),
            subnets: network.driver.subnets(),
            ipam: definition.map(|definition| definition.ipam.clone()).unwrap_or_default(),
            options: definition
                .map_or_else(|| network.driver.options(), |definition| definition.options.clone()),
            labels: definition.map(|definition| definition.labels.clone()).unwrap_or_default(),
            internal: definition.is_some_and(known::Definition::is_internal),
            attachable: definition.is_some_and(|definition| definition.attachable),
            config_only: network.is_template(),
            config_from: definition.and_then(|definition| definition.config_from.clone()),
            predefined: definition.is_none(),
        }
    }

    /// What is connected to the network with this id, by container. This takes the longer, the more
    /// containers run.
    pub fn endpoints_on(&self, network_id: &str) -> BTreeMap<String, Endpoint> {
        let sandboxes: Vec<_> =
            self.sandboxes().values().filter(|held| !held.is_cut_off()).cloned().collect();
        let on_it = |held: &Arc<Held>| {
            let endpoint = held.sandbox().endpoint(network_id)?.clone();
            Some((held.container.clone(), endpoint))
        };
        sandboxes.iter().filter_map(on_it).collect()
    }

    fn held(&self, container: &str) -> Option<Arc<Held>> {
        self.sandboxes().get(container).cloned()
    }

    fn sandboxes(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Held>>> {
        self.sandboxes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn sandboxes_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Held>>> {
        self.sandboxes.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn networks(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Network>>> {
        self.networks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn networks_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Network>>> {
        self.networks.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what blocks where it holds nobody up.
async fn off_the_reactor<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::system(format!("the work on a network has panicked: {error}")))?
}

/// All the failures of steps that must each be tried, as one.
fn to_the_end(steps: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let failures: Vec<Error> = steps.into_iter().filter_map(Result::err).collect();
    match failures.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
            Err(Error::new(first.kind(), texts.join("; ")))
        }
    }
}
