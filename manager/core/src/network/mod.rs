//! Networks: what a container's packets can reach, and who can reach it.
//!
//! Everything here is in the kernel once it is made, and works on without a manager: links,
//! namespaces held by mounts, maps of the packet filter. [`Networks`] keeps the books.

mod addresses;
mod bridge;
mod driver;
mod endpoint;
mod ephemeral;
mod firewall;
mod identity;
mod info;
mod kernel;
mod mac;
mod plain;
mod ports;
mod records;
mod reservation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use endpoint::{
    Connect, Connected, Endpoint, Interface, PortChoice, PortRequest, Protocol, PublishedPort,
};
pub use info::{NetworkInfo, Subnet};
pub use mac::MacAddress;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::store::Store;
use bridge::Bridge;
use driver::Driver;
use identity::Identity;
use kernel::netns;
use plain::Plain;
use ports::HostPorts;
use records::Records;

/// The networks of this manager and what is connected to them.
pub struct Networks {
    netns_directory: PathBuf,
    records: Records,
    networks: Vec<Network>,
    /// By container, which has at most one.
    endpoints: RwLock<BTreeMap<String, Arc<Held>>>,
}

/// An endpoint on the books.
struct Held {
    endpoint: Arc<Endpoint>,
    /// Whether it has ended for everybody but the kernel.
    cut_off: AtomicBool,
    /// Held by who takes it away.
    turn: Mutex<()>,
}

struct Network {
    name: &'static str,
    identity: Identity,
    driver: Box<dyn Driver>,
}

impl Networks {
    /// Makes or repairs the bridge and our packet filter, and takes over what containers that
    /// may still run have. Call [`Networks::retain`] when it is known which do.
    ///
    /// # Errors
    /// `Invalid` or `Unsupported` for settings that can't be, `Conflict` if something else on the
    /// host has the bridge's name or addresses, `Exhausted` if no subnet is free, `Unavailable` if `nft` is missing, else `System`.
    pub async fn open(config: &Config, store: Arc<Store>) -> Result<Arc<Self>> {
        let config = config.clone();
        let open = move || Self::open_now(&config, &store).map(Arc::new);
        off_the_reactor(open).await
    }

    /// Connects a container: its network namespace, its interface, its published ports. Either
    /// all of it is there on return, or nothing. If the container has an endpoint from before, it
    /// is taken away first, which may have to wait for the kernel.
    ///
    /// # Errors
    /// `NotFound` if there is no such network, `Exhausted` if it has no free address,
    /// `Unsupported` for ports that can't be published, `System` if a port is in use (with the
    /// words that docker has for it) or the kernel refuses something.
    pub async fn connect(self: &Arc<Self>, request: Connect) -> Result<Connected> {
        let networks = Arc::clone(self);
        off_the_reactor(move || networks.connect_now(&request)).await
    }

    /// Takes away what a container has of its network; it is no error if that is nothing.
    ///
    /// On return nobody is sent to the container any more and its ports are free. The kernel takes
    /// some more tens of milliseconds to delete the interface; that isn't waited for, and the
    /// address isn't given to another until it is done.
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
                let container = &held.endpoint.container;
                tracing::warn!(container, %error, "disconnecting a container");
            }
        });
        Ok(())
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
        self.networks.iter().map(|network| self.describe(network)).collect()
    }

    /// The network with this name, id or beginning of an id.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Invalid` if there are several.
    pub fn find(&self, name_or_id: &str) -> Result<NetworkInfo> {
        self.network(name_or_id).map(|network| self.describe(network))
    }

    /// What a container has.
    pub fn endpoint(&self, container: &str) -> Option<Arc<Endpoint>> {
        let held = self.held(container)?;
        (!held.cut_off.load(Ordering::Acquire)).then(|| Arc::clone(&held.endpoint))
    }

    fn open_now(config: &Config, store: &Store) -> Result<Self> {
        let netns_directory = config.netns_directory();
        records::make_directory(&netns_directory)?;
        let records = Records::open(config.endpoint_directory())?;
        let endpoints = records.list()?;
        let bridge_id = identity::of(store, "bridge")?;
        let on_bridge: Vec<_> = endpoints
            .iter()
            .filter(|endpoint| endpoint.network_id == bridge_id.id)
            .cloned()
            .collect();
        let bridge = Bridge::open(config, store, Arc::new(HostPorts::default()), &on_bridge)?;
        let networks = vec![
            Network { name: "bridge", identity: bridge_id, driver: Box::new(bridge) },
            Network {
                name: "host",
                identity: identity::of(store, "host")?,
                driver: Box::new(Plain::Host),
            },
            Network {
                name: "none",
                identity: identity::of(store, "none")?,
                driver: Box::new(Plain::Null),
            },
        ];
        let endpoints = endpoints
            .into_iter()
            .map(|endpoint| (endpoint.container.clone(), Arc::new(Held::new(endpoint))))
            .collect();
        Ok(Self { netns_directory, records, networks, endpoints: RwLock::new(endpoints) })
    }

    fn connect_now(&self, request: &Connect) -> Result<Connected> {
        let network = self.network(&request.network)?;
        if let Some(earlier) = self.held(&request.container) {
            self.take_away(&earlier)?;
        }
        let endpoint_id = identity::random();
        let reservation = network.driver.reserve(request, &endpoint_id)?;
        let endpoint = Endpoint {
            container: request.container.clone(),
            endpoint_id,
            network: network.name.to_owned(),
            network_id: network.identity.id.clone(),
            netns: reservation.own_namespace.then(|| self.netns_directory.join(&request.container)),
            interface: reservation.interface,
            ports: reservation.ports,
        };
        let held = Arc::new(Held::new(endpoint.clone()));
        self.endpoints_mut().insert(request.container.clone(), Arc::clone(&held));
        let made = self.records.put(&endpoint).and_then(|()| network.driver.attach(&endpoint));
        if let Err(error) = made {
            if let Err(left) = self.take_away(&held) {
                tracing::warn!(container = request.container, %left, "undoing a failed connection");
            }
            return Err(error);
        }
        Ok(Connected { endpoint, reservations: reservation.sockets })
    }

    /// The quick part of [`Self::take_away`].
    fn cut_off(&self, held: &Held) -> Result<()> {
        let _turn = held.turn.lock();
        if held.cut_off.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.driver_of(&held.endpoint).map_or(Ok(()), |driver| driver.cut_off(&held.endpoint))
    }

    /// Takes an endpoint away, unless another does or did; then this waits until it is done.
    fn take_away(&self, held: &Arc<Held>) -> Result<()> {
        let _turn = held.turn.lock();
        let endpoint = &held.endpoint;
        let is_on_the_books =
            self.held(&endpoint.container).is_some_and(|current| Arc::ptr_eq(&current, held));
        if !is_on_the_books {
            return Ok(());
        }
        match self.driver_of(endpoint) {
            Some(driver) => driver.detach(endpoint)?,
            None => endpoint.netns.as_deref().map_or(Ok(()), netns::remove)?,
        }
        self.records.remove(&endpoint.container)?;
        self.endpoints_mut().remove(&endpoint.container);
        Ok(())
    }

    fn retain_now(&self, running: &HashSet<String>) -> Result<()> {
        let endpoints: Vec<_> = self.endpoints().values().cloned().collect();
        let ended = endpoints.iter().filter(|held| !running.contains(&held.endpoint.container));
        let namespaces = records::file_names(&self.netns_directory)?;
        let orphans = namespaces.iter().filter(|container| !running.contains(*container));
        to_the_end(
            ended
                .map(|held| self.take_away(held))
                .chain(self.networks.iter().map(|network| network.driver.sweep(running)))
                .chain(orphans.map(|file| netns::remove(&self.netns_directory.join(file)))),
        )
    }

    fn held(&self, container: &str) -> Option<Arc<Held>> {
        self.endpoints().get(container).cloned()
    }

    fn endpoints(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Held>>> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn endpoints_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Held>>> {
        self.endpoints.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// None for a network that there isn't any more.
    fn driver_of(&self, endpoint: &Endpoint) -> Option<&dyn Driver> {
        let is_its = |network: &&Network| network.identity.id == endpoint.network_id;
        self.networks.iter().find(is_its).map(|network| network.driver.as_ref())
    }

    fn network(&self, name_or_id: &str) -> Result<&Network> {
        let exact =
            |network: &&Network| network.name == name_or_id || network.identity.id == name_or_id;
        if let Some(network) = self.networks.iter().find(exact) {
            return Ok(network);
        }
        let mut matches = self.networks.iter().filter(|network| {
            !name_or_id.is_empty() && network.identity.id.starts_with(name_or_id)
        });
        match (matches.next(), matches.next()) {
            (Some(network), None) => Ok(network),
            (None, _) => Err(Error::not_found(format!("network {name_or_id} not found"))),
            (Some(_), Some(_)) => Err(Error::invalid(format!(
                "network {name_or_id} is ambiguous ({} matches found on ID prefix)",
                2 + matches.count()
            ))),
        }
    }

    fn describe(&self, network: &Network) -> NetworkInfo {
        NetworkInfo {
            id: network.identity.id.clone(),
            name: network.name.to_owned(),
            driver: network.driver.name(),
            created: network.identity.created,
            subnet: network.driver.subnet(),
            options: network.driver.options(),
            endpoints: self
                .endpoints()
                .values()
                .filter(|held| !held.cut_off.load(Ordering::Acquire))
                .map(|held| &held.endpoint)
                .filter(|endpoint| endpoint.network_id == network.identity.id)
                .map(|endpoint| Endpoint::clone(endpoint))
                .collect(),
        }
    }
}

impl Held {
    fn new(endpoint: Endpoint) -> Self {
        Self { endpoint: Arc::new(endpoint), cut_off: AtomicBool::new(false), turn: Mutex::new(()) }
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
