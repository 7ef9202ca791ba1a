//! Making again what somebody has deleted by hand, or what an earlier manager was taking away when it was
//! killed: bridges, containers' interfaces, and their places on bridges.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::connect::lead_out;
use super::driver::Driver;
use super::endpoint::{Interface, Sandbox};
use super::kernel::netlink::{Batch, Netlink};
use super::kernel::netns::{self, Inside};
use super::known::Network;
use super::{Networks, to_the_end};
use crate::error::Result;

impl Networks {
    /// Makes what these networks are made of where it is gone, and plugs in again who was on a bridge.
    /// For the host's own namespace: a thread that is in a container's would make it there.
    pub(super) fn mend(&self, networks: &[Arc<Network>]) -> Result<()> {
        let netlink = Netlink::open(libc::NETLINK_ROUTE)?;
        for network in networks {
            match &network.driver {
                Driver::Bridge(bridge) if bridge.index(&netlink).is_none() => {
                    tracing::warn!(network = network.name, "somebody has deleted the bridge");
                    bridge.ensure(&netlink)?;
                    self.plug_in_again(&netlink)?;
                }
                Driver::Stacked(stacked) => stacked.ensure(&netlink)?,
                Driver::Bridge(_) | Driver::Host | Driver::Null => {}
            }
        }
        Ok(())
    }

    /// Makes those interfaces of containers that are gone, past whatever fails. Only for a manager that
    /// begins: later, one that isn't there may be about to be made by another thread.
    pub(super) fn make_lost(&self, netlink: &Netlink) -> Result<()> {
        let cables: HashSet<_> = netlink.links()?.into_iter().map(|link| link.name).collect();
        let may_be_lost = |interface: &Interface| !cables.contains(&interface.host_name);
        let sandboxes: Vec<_> = self.sandboxes().values().map(|held| held.sandbox()).collect();
        to_the_end(sandboxes.iter().map(|sandbox| {
            let mut interfaces = sandbox.endpoints.iter().filter_map(|end| end.interface.as_ref());
            match &sandbox.netns {
                Some(path) if interfaces.any(may_be_lost) && netns::is_held(path) => {
                    netns::enter(path, |inside| self.make_lost_of(sandbox, inside))
                }
                _ => Ok(()),
            }
        }))
    }

    fn make_lost_of(&self, sandbox: &Sandbox, inside: &Inside) -> Result<()> {
        for endpoint in &sandbox.endpoints {
            let Some(interface) = &endpoint.interface else { continue };
            let network = self.networks().get(&endpoint.network_id).cloned();
            if let (Some(network), Err(_)) = (network, inside.index(&interface.name)) {
                let (container, network_name) = (&sandbox.container, &network.name);
                tracing::warn!(container, network = network_name, "an interface was gone");
                network.driver.plug(container, endpoint, inside)?;
            }
        }
        lead_out(sandbox, inside)
    }

    /// Plugs in containers whose cables are there, but not on their bridges.
    pub(super) fn plug_in_again(&self, netlink: &Netlink) -> Result<()> {
        let links = netlink.links()?;
        let cables: HashMap<_, _> =
            links.iter().map(|link| (link.name.as_str(), link.bridge)).collect();
        let sandboxes: Vec<_> = self.sandboxes().values().map(|held| held.sandbox()).collect();
        let mut batch = Batch::default();
        for endpoint in sandboxes.iter().flat_map(|sandbox| &sandbox.endpoints) {
            let network = self.networks().get(&endpoint.network_id).cloned();
            let bridge = network.as_ref().and_then(|network| network.driver.bridge());
            let (Some(bridge), Some(interface)) = (bridge, &endpoint.interface) else { continue };
            let Some(index) = bridge.index(netlink) else { continue };
            let is_elsewhere = |at: &Option<u32>| *at != Some(index);
            if cables.get(interface.host_name.as_str()).is_some_and(is_elsewhere) {
                bridge.plug_in(&mut batch, interface, index);
            }
        }
        Ok(netlink.run(&batch)?)
    }
}
