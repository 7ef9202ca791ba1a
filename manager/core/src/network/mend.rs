//! Making again what somebody has deleted by hand: bridges, and containers' places on them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Networks;
use super::driver::Driver;
use super::kernel::netlink::{Batch, Netlink};
use super::known::Network;
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
