//! Connecting a container that is about to start, and taking all of that away again.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::bridge::device;
use super::driver::unplug;
use super::endpoint::{
    Assigned, Connect, Connected, Endpoint, PortRequest, PublishedPort, Reservation, Sandbox, Wish,
};
use super::family::Family;
use super::firewall::Published;
use super::held::Held;
use super::kernel::netlink::{Batch, Netlink};
use super::kernel::netns::{self, Inside};
use super::known::Network;
use super::names::{self, Sockets};
use super::ports::{Reserved, Target, Way};
use super::stacked::Makers;
use super::{Networks, identity, records, reservation, to_the_end};
use crate::error::{Error, Kind, Result};

impl Networks {
    pub(super) fn connect_now(&self, request: &Connect) -> Result<Connected> {
        if let Some(earlier) = self.held(&request.container) {
            self.take_away(&earlier)?;
        }
        let on: Vec<_> =
            request.wishes.iter().map(|wish| self.network(&wish.network)).collect::<Result<_>>()?;
        let staying = on.iter().map(|network| network.stay()).collect::<Result<Vec<_>>>()?;
        let (sandbox, reservations) = self.reserve(request, &on)?;
        let held = Arc::new(Held::new(sandbox.clone()));
        self.sandboxes_mut().insert(request.container.clone(), Arc::clone(&held));
        drop(staying);
        let made = self
            .records
            .put(&sandbox)
            .and_then(|()| self.furnish(&sandbox, request.user_namespace.as_deref(), &on));
        if let Err(error) = made {
            if let Err(left) = self.take_away(&held) {
                tracing::warn!(container = request.container, %left, "undoing a failed connection");
            }
            return Err(error);
        }
        Ok(Connected { sandbox, reservations })
    }

    /// Gives the container what is counted: addresses and ports. All of it or nothing.
    fn reserve(
        &self,
        request: &Connect,
        on: &[Arc<Network>],
    ) -> Result<(Sandbox, Vec<Reservation>)> {
        let is_private = on.iter().all(|network| network.driver.is_private());
        let mut sandbox = Sandbox {
            container: request.container.clone(),
            netns: is_private.then(|| self.netns_directory.join(&request.container)),
            endpoints: Vec::with_capacity(on.len()),
            ports: Vec::new(),
            wanted_ports: request.ports.clone(),
            name_servers: request.name_servers.clone(),
            forwarding: request.forwarding,
        };
        let outcome = request
            .wishes
            .iter()
            .zip(on)
            .try_for_each(|(wish, network)| {
                sandbox.endpoints.push(self.new_endpoint(&sandbox.endpoints, wish, network)?);
                Ok(())
            })
            .and_then(|()| self.reserve_ports(&sandbox, &request.name, &request.ports));
        match outcome {
            Ok(reserved) => {
                let (ports, sockets): (_, Vec<_>) = reserved.into_iter().unzip();
                sandbox.ports = ports;
                Ok((sandbox, sockets.into_iter().flatten().collect()))
            }
            Err(error) => {
                for endpoint in &sandbox.endpoints {
                    self.release(endpoint);
                }
                Err(error)
            }
        }
    }

    /// Reserves the ports of the host that lead to the container, if anything outside does.
    pub(super) fn reserve_ports(
        &self,
        sandbox: &Sandbox,
        name: &str,
        ports: &[PortRequest],
    ) -> Result<Vec<Reserved>> {
        let ends = Family::BOTH.into_iter().filter_map(|family| gateway_of(sandbox, family));
        let ways: Vec<_> = ends.clone().filter_map(|end| self.way_by(end)).collect();
        let (Some((endpoint, _)), false) = (ends.clone().next(), ways.is_empty()) else {
            return Ok(Vec::new());
        };
        let passes_on = self.config.passes_on && reservation::host_has_ipv6();
        let target = Target { owner: &sandbox.container, ways, passes_on };
        self.ports.publish(ports, &target).map_err(|error| {
            error.while_doing(format!(
                "driver failed programming external connectivity on endpoint {name} ({})",
                endpoint.endpoint_id
            ))
        })
    }

    /// How the world reaches a container by one of its addresses.
    fn way_by(&self, (endpoint, assigned): (&Endpoint, &Assigned)) -> Option<Way> {
        let networks = self.networks();
        let settings = networks.get(&endpoint.network_id)?.driver.bridge()?.settings();
        Some(Way {
            container: assigned.address,
            default_bind: settings.default_bind,
            is_routed: settings.gateways.get(Family::of(assigned.address)).is_routed(),
        })
    }

    /// Makes in the kernel what the sandbox says. The user namespace that the file `owner` holds, or
    /// else the host's, owns the network namespace.
    fn furnish(&self, sandbox: &Sandbox, owner: Option<&Path>, on: &[Arc<Network>]) -> Result<()> {
        let Some(path) = &sandbox.netns else { return Ok(()) };
        self.mend(on)?;
        let sockets = netns::create(path, owner, |inside| {
            let mut batch = Batch::default();
            batch.set_up("lo");
            inside.run(&batch)?;
            for (network, endpoint) in on.iter().zip(&sandbox.endpoints) {
                network.driver.plug(&sandbox.container, endpoint, inside)?;
            }
            lead_out(sandbox, inside)?;
            sockets_for(sandbox)
        })?;
        if let Some(sockets) = sockets {
            self.tell_names(sandbox, Some(sockets))?;
        }
        self.lead_in(sandbox)
    }

    /// Lets the world reach the container's ports.
    pub(super) fn lead_in(&self, sandbox: &Sandbox) -> Result<()> {
        match sandbox.way_out() {
            // Also where there are none: the packet filter is made again if it is gone.
            Some(_) => self.firewall.publish(&sandbox.container, self.published(sandbox)),
            None => Ok(()),
        }
    }

    /// Where the container's ports lead.
    pub(super) fn published(&self, sandbox: &Sandbox) -> Vec<Published> {
        let networks = self.networks();
        let lead = |port: &PublishedPort| {
            let (endpoint, assigned) = gateway_of(sandbox, Family::of(port.host_ip))?;
            let bridge = networks.get(&endpoint.network_id)?.driver.bridge()?;
            Some(Published {
                container: sandbox.container.clone(),
                port: port.clone(),
                address: assigned.address,
                is_direct: !bridge.settings().trusted.is_empty(),
            })
        };
        sandbox.ports.iter().filter_map(lead).collect()
    }

    /// The quick part of [`Self::take_away`].
    pub(super) fn cut_off(&self, held: &Held) -> Result<()> {
        let _turn = held.turn();
        self.cut_off_in_turn(held)
    }

    fn cut_off_in_turn(&self, held: &Held) -> Result<()> {
        if held.set_cut_off() {
            return Ok(());
        }
        let sandbox = held.sandbox();
        let withdrawn = self.firewall.withdraw(&held.container);
        self.ports.release(&held.container, &sandbox.ports);
        held.let_go();
        // Also who has left all networks with names may still ask.
        if sandbox.netns.is_some() {
            self.forget_names(&held.container);
        }
        withdrawn
    }

    /// Takes away all that a container has, unless another does or did; then this waits until it is
    /// done.
    pub(super) fn take_away(&self, held: &Arc<Held>) -> Result<()> {
        let _turn = held.turn();
        let is_on_the_books =
            self.held(&held.container).is_some_and(|current| Arc::ptr_eq(&current, held));
        if !is_on_the_books {
            return Ok(());
        }
        let sandbox = held.sandbox();
        let interfaces = sandbox.endpoints.iter().filter_map(|end| end.interface.as_ref());
        to_the_end(
            [self.cut_off_in_turn(held)]
                .into_iter()
                .chain(interfaces.map(|interface| unplug(sandbox.netns.as_deref(), interface)))
                .chain(sandbox.netns.iter().map(|path| netns::remove(path))),
        )?;
        for endpoint in &sandbox.endpoints {
            self.release(endpoint);
        }
        self.records.remove(&held.container)?;
        self.sandboxes_mut().remove(&held.container);
        Ok(())
    }

    /// An endpoint for a container that has these already. What it wants may be had yet by a container
    /// that has ended for everybody but the kernel; then that is waited for.
    pub(super) fn new_endpoint(
        &self,
        others: &[Endpoint],
        wish: &Wish,
        network: &Network,
    ) -> Result<Endpoint> {
        if network.is_template() {
            return Err(Error::new(
                Kind::Forbidden,
                format!("{} is a configuration network, and not one to be on", network.name),
            ));
        }
        match new_endpoint(others, wish, network) {
            Err(error) if matches!(error.kind(), Kind::Forbidden | Kind::Exhausted) => {
                self.await_leaving(&network.id)?;
                new_endpoint(others, wish, network)
            }
            outcome => outcome,
        }
    }

    /// Waits until those that are about to leave a network have left it.
    pub(super) fn await_leaving(&self, network_id: &str) -> Result<()> {
        let is_leaving =
            |held: &&Arc<Held>| held.is_cut_off() && held.sandbox().endpoint(network_id).is_some();
        let leaving: Vec<_> = self.sandboxes().values().filter(is_leaving).cloned().collect();
        to_the_end(leaving.iter().map(|held| self.take_away(held)))
    }

    /// Gives back what an endpoint has that is counted.
    pub(super) fn release(&self, endpoint: &Endpoint) {
        if let Some(network) = self.networks().get(&endpoint.network_id) {
            network.driver.release(endpoint);
        }
    }

    pub(super) fn retain_now(&self, running: &HashSet<String>) -> Result<()> {
        let sandboxes: Vec<_> = self.sandboxes().values().cloned().collect();
        let ended = sandboxes.iter().filter(|held| !running.contains(&held.container));
        let namespaces = records::file_names(&self.netns_directory)?;
        let orphans = namespaces.iter().filter(|container| !running.contains(*container));
        to_the_end(
            ended
                .map(|held| self.take_away(held))
                .chain(orphans.map(|file| netns::remove(&self.netns_directory.join(file)))),
        )?;
        self.sweep()
    }

    /// Removes the links with our mark that belong to nothing.
    fn sweep(&self) -> Result<()> {
        let sandboxes: Vec<_> = self.sandboxes().values().map(|held| held.sandbox()).collect();
        let interfaces = sandboxes.iter().flat_map(|sandbox| &sandbox.endpoints);
        let cables = interfaces
            .filter_map(|endpoint| Some(endpoint.interface.as_ref()?.host_name.clone()))
            .collect();
        let networks = self.networks().keys().cloned().collect();
        let netlink = Netlink::open(libc::NETLINK_ROUTE)?;
        let all: Vec<_> = self.networks().values().cloned().collect();
        let stacked = all.iter().filter_map(|network| network.driver.stacked());
        let parents = stacked.map(|stacked| stacked.settings().parent.name().to_owned()).collect();
        let swept = Makers::of(&self.config).sweep(&netlink, &parents);
        let orphans = device::orphans(&netlink, &self.config.bridge.name, &cables, &networks)?;
        to_the_end([swept].into_iter().chain(orphans.into_iter().map(|link| {
            tracing::info!(link, "removing an interface that belongs to nothing any more");
            device::delete(&netlink, &link)
        })))
    }
}

fn new_endpoint(others: &[Endpoint], wish: &Wish, network: &Network) -> Result<Endpoint> {
    let endpoint_id = identity::random();
    let has = |name: &str| {
        others.iter().filter_map(|end| end.interface.as_ref()).any(|other| other.name == name)
    };
    let prefix = network.driver.interfaces();
    let name = match &wish.interface {
        Some(name) if has(name) => {
            return Err(Error::invalid(format!(
                "error generating an interface name: the container has an interface {name} already"
            )));
        }
        Some(name) => Some(name.clone()),
        None => (0..).map(|number: u32| format!("{prefix}{number}")).find(|name| !has(name)),
    };
    let interface = network.driver.reserve(wish, &endpoint_id, &name.unwrap_or_default())?;
    let names = if network.has_names() { wish.names.clone() } else { Vec::new() };
    Ok(Endpoint {
        endpoint_id,
        network: network.name.clone(),
        network_id: network.id.clone(),
        driver: network.driver.name().to_owned(),
        interface,
        names,
        links: wish.links.clone(),
        gateway_priority: wish.gateway_priority,
    })
}

/// Sends what is on none of the container's networks to where the sandbox says.
pub(super) fn lead_out(sandbox: &Sandbox, inside: &Inside) -> Result<()> {
    for family in Family::BOTH {
        if let Some((endpoint, assigned)) = gateway_of(sandbox, family)
            && let (Some(interface), Some(gateway)) = (&endpoint.interface, assigned.gateway)
        {
            let mut batch = Batch::default();
            let index = inside.index(&interface.name)?;
            match gateway.is_unspecified() {
                true => batch.set_default_link(family, index),
                false => batch.set_default_route(gateway, index),
            }
            inside.run(&batch)?;
        }
    }
    Ok(())
}

/// Opens what names are asked for by, in the calling thread's namespace, if they are.
pub(super) fn sockets_for(sandbox: &Sandbox) -> Result<Option<Sockets>> {
    match names::are_on(sandbox) {
        true => Sockets::open().map(Some),
        false => Ok(None),
    }
}

/// The endpoint by which everything else is reached, and its address there.
pub(super) fn gateway_of(sandbox: &Sandbox, family: Family) -> Option<(&Endpoint, &Assigned)> {
    let endpoint = sandbox.gateway(family)?;
    Some((endpoint, endpoint.interface.as_ref()?.assigned_of(family)?))
}

/// A container has to have a stack of its own to join networks.
pub(super) fn netns_of(sandbox: &Sandbox) -> Result<&std::path::Path> {
    sandbox.netns.as_deref().ok_or_else(|| {
        Error::invalid(
            "container sharing network namespace with another container or host cannot be \
             connected to any other network",
        )
    })
}
