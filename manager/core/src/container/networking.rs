//! Connecting containers to networks and disconnecting them, be they running or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::MutexGuard;

use super::entry::Entry;
use super::files::Files;
use super::id::ContainerId;
use super::membership::{Membership, check, check_together};
use super::modes::NetworkMode;
use super::record::Container;
use super::state::State;
use super::work::{blocking, to_the_end};
use super::{Containers, announce};
use crate::error::{Error, Kind, Result};
use crate::network::{Endpoint, Sandbox};

impl Containers {
    /// Connects a container to a network: now if it runs, and whenever it starts.
    ///
    /// # Errors
    /// Not found for the network, forbidden if it is connected already, invalid if it can't be, and
    /// as for a start.
    pub async fn connect_network(
        self: &Arc<Self>,
        id: &ContainerId,
        network: &str,
        wanted: Membership,
    ) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        let network = network.to_owned();
        to_the_end(async move {
            let (_turn, container) = containers.turn(&entry).await?;
            if let NetworkMode::Container(_) = container.host.network_mode {
                return Err(Error::invalid(
                    "container sharing network namespace with another container or host cannot be \
                     connected to any other network",
                ));
            }
            let info = containers.networks.find(&network)?;
            check(&info, &wanted)?;
            if info.name == "host" && container.host.network_mode != NetworkMode::Host {
                return Err(Error::invalid(
                    "cannot connect container to host network - container must be created in host \
                     network mode",
                ));
            }
            let memberships = container.host.networks.keys().map(String::as_str);
            check_together(&info.name, memberships)?;
            if container.state.is_running() {
                containers.join(&entry, &container, &info.name, wanted).await
            } else if container.host.networks.contains_key(&info.name) {
                Ok(())
            } else {
                containers
                    .save_networks(&entry, &container, |networks| {
                        networks.insert(info.name.clone(), wanted);
                    })
                    .await
            }
        })
        .await
    }

    /// The name of the network that a container's mode names, which may have it by its id.
    pub(super) fn main_network(&self, container: &Container) -> Option<String> {
        let named = container.host.network_mode.network()?;
        Some(self.networks.find(named).map_or_else(|_| named.to_owned(), |network| network.name))
    }

    /// Waits until nobody else works on a container, and gives it as it is then.
    async fn turn<'a>(&self, entry: &'a Entry) -> Result<(MutexGuard<'a, ()>, Arc<Container>)> {
        let turn = entry.doing.lock().await;
        let container = entry.container();
        self.index.get(&container.id)?;
        check_removal(&container)?;
        Ok((turn, container))
    }

    async fn join(
        &self,
        entry: &Entry,
        container: &Container,
        network: &str,
        wanted: Membership,
    ) -> Result<()> {
        let id = container.id.as_str();
        let main = self.main_network(container);
        let wish = container.wish(network, &wanted, main.as_deref())?;
        let sandbox = self.networks.join(id, &container.name, wish).await?;
        let joined = sandbox.endpoints.iter().find(|endpoint| endpoint.network == network).cloned();
        let outcome = async {
            self.follow_networks(container, &sandbox).await?;
            let mut after = container.clone();
            after.host.networks.insert(network.to_owned(), wanted);
            after.network = Some(sandbox);
            self.save(after).await
        };
        match (outcome.await, joined) {
            (Ok(after), joined) => {
                entry.publish(after);
                if let Some(endpoint) = joined {
                    self.events.publish(announce::network_event(container, &endpoint, "connect"));
                }
                Ok(())
            }
            (Err(error), joined) => {
                if let Some(endpoint) = joined
                    && let Err(left) = self.networks.leave(id, &endpoint.network_id).await
                {
                    tracing::error!(container = id, %left, "undo: join a network");
                }
                Err(error)
            }
        }
    }

    /// Disconnects a container from a network: now if it runs, and for its next start. A `forced`
    /// one may be of a network that is gone.
    ///
    /// # Errors
    /// Not found for the network, system if it isn't connected.
    pub async fn disconnect_network(
        self: &Arc<Self>,
        id: &ContainerId,
        network: &str,
        forced: bool,
    ) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        let network = network.to_owned();
        to_the_end(async move {
            let (_turn, container) = containers.turn(&entry).await?;
            let found = containers.networks.find(&network);
            let name = found.as_ref().map_or(network.clone(), |info| info.name.clone());
            let info = match found {
                Ok(info) if container.state.is_running() => info,
                Err(error) if container.state.is_running() && !forced => return Err(error),
                _ => return containers.strike_out(&entry, &container, &name).await,
            };
            if info.name == "host" && container.host.network_mode == NetworkMode::Host {
                return Err(Error::invalid(
                    "cannot disconnect container from host network - container was created in host \
                     network mode",
                ));
            }
            containers.leave(&entry, &container, &info.id).await
        })
        .await
    }

    async fn leave(&self, entry: &Entry, container: &Container, network_id: &str) -> Result<()> {
        let id = container.id.as_str();
        let left = container.network.as_ref().and_then(|sandbox| sandbox.endpoint(network_id));
        let left: Option<Endpoint> = left.cloned();
        let sandbox = self.networks.leave(id, network_id).await?;
        self.follow_networks(container, &sandbox).await?;
        let mut after = container.clone();
        if let Some(endpoint) = &left {
            after.host.networks.remove(&endpoint.network);
        }
        after.network = Some(sandbox);
        entry.publish(self.save(after).await?);
        if let Some(endpoint) = left {
            self.events.publish(announce::network_event(container, &endpoint, "disconnect"));
        }
        Ok(())
    }

    /// Takes a network out of what a container wants.
    async fn strike_out(&self, entry: &Entry, container: &Container, name: &str) -> Result<()> {
        if !container.host.networks.contains_key(name) {
            return Err(Error::system(format!(
                "container {} is not connected to the network {name}",
                container.id
            )));
        }
        self.save_networks(entry, container, |networks| {
            networks.remove(name);
        })
        .await
    }

    async fn save_networks(
        &self,
        entry: &Entry,
        container: &Container,
        change: impl FnOnce(&mut BTreeMap<String, Membership>),
    ) -> Result<()> {
        let mut after = container.clone();
        change(&mut after.host.networks);
        entry.publish(self.save(after).await?);
        Ok(())
    }

    /// Brings the files by which a running container finds others to what it has now.
    async fn follow_networks(&self, container: &Container, after: &Sandbox) -> Result<()> {
        let Some(before) = container.network.clone() else { return Ok(()) };
        let (files, config) = (Files::in_directory(&container.directory), Arc::clone(&self.config));
        let (container, after) = (container.clone(), after.clone());
        blocking(move || files.follow(&container, &before, &after, &config)).await
    }

    /// Lets a container that was given another name be found by it.
    pub(super) async fn call_by_new_name(&self, renamed: &Container) -> Result<Option<Sandbox>> {
        let names = renamed
            .host
            .networks
            .iter()
            .map(|(network, membership)| (network.clone(), renamed.names_on(membership)))
            .collect();
        self.networks.call(renamed.id.as_str(), names).await
    }

    /// A container that runs on, with the networks that it really has: an earlier manager may have
    /// died while it changed them.
    pub(super) async fn with_real_networks(&self, container: &Container) -> Container {
        let Some(sandbox) = self.networks.sandbox(container.id.as_str()) else {
            return container.clone();
        };
        if container.config.network_disabled {
            return container.clone();
        }
        let mut sandbox = Sandbox::clone(&sandbox);
        let mut real = container.clone();
        let is_on = |name: &str, sandbox: &Sandbox| {
            sandbox.endpoints.iter().any(|endpoint| endpoint.network == name)
        };
        real.host.networks.retain(|name, _| is_on(name, &sandbox));
        let wanted = container.memberships();
        for endpoint in sandbox.endpoints.clone() {
            if wanted.contains_key(&endpoint.network) || wanted.contains_key(&endpoint.network_id) {
                continue;
            }
            match self.networks.leave(container.id.as_str(), &endpoint.network_id).await {
                Ok(after) => sandbox = after,
                Err(error) => {
                    tracing::error!(container = %container.id, %error, "undo: join a network");
                }
            }
        }
        real.network = Some(sandbox);
        real
    }
}

fn check_removal(container: &Container) -> Result<()> {
    match container.state {
        State::Removing { .. } | State::Dead { .. } => Err(Error::new(
            Kind::System,
            format!(
                "Container {} is marked for removal and cannot be connected or disconnected to the \
                 network",
                container.id
            ),
        )),
        _ => Ok(()),
    }
}
