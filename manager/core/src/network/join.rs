//! Connecting and disconnecting containers that run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Networks;
use super::connect::{lead_out, netns_of, sockets_for};
use super::driver::unplug;
use super::endpoint::{Sandbox, Wish};
use super::held::Held;
use super::kernel::netns;
use super::known::Network;
use super::names;
use crate::error::{Error, Kind, Result};

impl Networks {
    pub(super) fn join_now(&self, container: &str, name: &str, wish: &Wish) -> Result<Sandbox> {
        let held = self.held_alive(container)?;
        let _turn = held.turn();
        check_alive(&held)?;
        let before = held.sandbox();
        let network = self.network(&wish.network)?;
        netns_of(&before)?;
        if before.endpoint(&network.id).is_some() {
            return Err(Error::new(
                Kind::Forbidden,
                format!("endpoint with name {name} already exists in network {}", network.name),
            ));
        }
        let after = {
            let _stays = network.stay()?;
            let mut after = Sandbox::clone(&before);
            after.endpoints.push(self.new_endpoint(&before.endpoints, wish, &network)?);
            // It is in use from here on.
            held.replace(after.clone());
            after
        };
        let joined = self.make_joined(&held, name, &before, after, &network);
        if joined.is_err() {
            self.undo_joining(&held, &before);
        }
        joined
    }

    /// Makes what a container gets that joins a network.
    fn make_joined(
        &self,
        held: &Held,
        name: &str,
        before: &Sandbox,
        mut after: Sandbox,
        network: &Arc<Network>,
    ) -> Result<Sandbox> {
        if after.ports.is_empty() && !after.wanted_ports.is_empty() {
            let reserved = self.reserve_ports(&after, name, &after.wanted_ports)?;
            let (ports, sockets): (_, Vec<_>) = reserved.into_iter().unzip();
            after.ports = ports;
            // Nobody passes on what comes by IPv6 until the container starts anew.
            let sockets = sockets.into_iter().flatten();
            held.hold(sockets.map(|reservation| reservation.socket).collect());
            held.replace(after.clone());
        }
        self.records.put(&after)?;
        self.mend(std::slice::from_ref(network))?;
        let had_names = names::are_on(before);
        let sockets = netns::enter(netns_of(&after)?, |inside| {
            let endpoint = after.endpoints.last();
            endpoint.map_or(Ok(()), |endpoint| {
                network.driver.plug(&after.container, endpoint, inside)
            })?;
            lead_out(&after, inside)?;
            if had_names { Ok(None) } else { sockets_for(&after) }
        })?;
        if names::are_on(&after) {
            self.tell_names(&after, sockets)?;
        }
        self.move_ports(before, &after)?;
        Ok(after)
    }

    /// Takes back what was made; what fails is logged.
    fn undo_joining(&self, held: &Held, before: &Sandbox) {
        let begun = held.sandbox();
        let joined = begun.endpoints.last();
        if let Some(interface) = joined.and_then(|endpoint| endpoint.interface.as_ref())
            && let Err(error) = unplug(before.netns.as_deref(), interface)
        {
            tracing::warn!(container = held.container, %error, "undoing a failed connection");
        }
        match self.settle_on(held, &begun, Sandbox::clone(before)) {
            Ok(()) => joined.iter().for_each(|endpoint| self.release(endpoint)),
            Err(error) => {
                tracing::warn!(container = held.container, %error, "undoing a failed connection");
            }
        }
        if before.ports.is_empty() {
            self.ports.release(&held.container, &begun.ports);
            held.let_go();
        }
    }

    pub(super) fn leave_now(&self, container: &str, network_id: &str) -> Result<Sandbox> {
        let held = self.held_alive(container)?;
        let _turn = held.turn();
        check_alive(&held)?;
        let before = held.sandbox();
        let Some(endpoint) = before.endpoint(network_id) else {
            let name = self.network(network_id).map(|network| network.name.clone());
            return Err(Error::system(format!(
                "container {container} is not connected to network {}",
                name.as_deref().unwrap_or(network_id)
            )));
        };
        let mut after = Sandbox::clone(&before);
        after.endpoints.retain(|other| other.endpoint_id != endpoint.endpoint_id);
        if let Some(interface) = &endpoint.interface {
            unplug(before.netns.as_deref(), interface)?;
        }
        self.settle_on(&held, &before, after.clone())?;
        self.release(endpoint);
        Ok(after)
    }

    /// Lets all follow that a container has less than before.
    fn settle_on(&self, held: &Held, before: &Sandbox, after: Sandbox) -> Result<()> {
        self.records.put(&after)?;
        held.replace(after.clone());
        if names::are_on(before) {
            self.tell_names(&after, None)?;
        }
        // The container may have put down by itself what leads out now.
        if let Err(error) = netns::enter(netns_of(&after)?, |inside| lead_out(&after, inside)) {
            tracing::warn!(container = held.container, %error, "changing its way out");
        }
        self.move_ports(before, &after)
    }

    /// Lets ports lead to the addresses that the container has now.
    fn move_ports(&self, before: &Sandbox, after: &Sandbox) -> Result<()> {
        if self.published(before) == self.published(after) {
            return Ok(());
        }
        self.firewall.withdraw(&after.container)?;
        self.lead_in(after)
    }

    pub(super) fn call_now(
        &self,
        container: &str,
        names: &BTreeMap<String, Vec<String>>,
    ) -> Result<Option<Sandbox>> {
        let Some(held) = self.held(container) else { return Ok(None) };
        let _turn = held.turn();
        if held.is_cut_off() {
            return Ok(None);
        }
        let mut sandbox = Sandbox::clone(&held.sandbox());
        for endpoint in &mut sandbox.endpoints {
            if let Some(names) = names.get(&endpoint.network)
                && !endpoint.names.is_empty()
            {
                endpoint.names.clone_from(names);
            }
        }
        self.records.put(&sandbox)?;
        held.replace(sandbox.clone());
        if names::are_on(&sandbox) {
            self.tell_names(&sandbox, None)?;
        }
        Ok(Some(sandbox))
    }

    fn held_alive(&self, container: &str) -> Result<Arc<Held>> {
        self.held(container).ok_or_else(|| not_running(container))
    }
}

/// It may have ended while we waited for our turn.
fn check_alive(held: &Held) -> Result<()> {
    if held.is_cut_off() { Err(not_running(&held.container)) } else { Ok(()) }
}

fn not_running(container: &str) -> Error {
    Error::conflict(format!("container {container} is not running"))
}
