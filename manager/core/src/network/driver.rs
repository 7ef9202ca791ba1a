//! The kinds of networks.

use std::collections::BTreeMap;

use super::bridge::Bridge;
use super::endpoint::{Endpoint, Interface, Wish};
use super::info::Subnet;
use super::kernel::netns::Inside;
use crate::error::Result;

/// A kind of network.
///
/// A container's time on a network goes like this. [`reserve`](Driver::reserve) gives it what is
/// counted: an address. That is written down, and then [`plug`](Driver::plug) makes in the kernel
/// what was written down. When that is gone again, [`release`](Driver::release) gives back what was
/// reserved. After a restart of the manager, [`adopt`](Driver::adopt) goes on as if what was written
/// down had just been reserved. All of it blocks.
pub(super) enum Driver {
    /// A switch of the host.
    Bridge(Box<Bridge>),
    /// The host's own network stack.
    Host,
    /// Only loopback.
    Null,
}

impl Driver {
    /// Its name in the API.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridge",
            Self::Host => "host",
            Self::Null => "null",
        }
    }

    /// Whether its containers have network stacks of their own.
    pub(super) fn is_private(&self) -> bool {
        match self {
            Self::Bridge(_) | Self::Null => true,
            Self::Host => false,
        }
    }

    /// The addresses that it gives out, if it does.
    pub(super) fn subnets(&self) -> Vec<Subnet> {
        self.bridge().map(Bridge::subnets).unwrap_or_default()
    }

    /// How the names of its interfaces in containers begin.
    pub(super) fn interfaces(&self) -> &str {
        self.bridge().map_or("", |bridge| &bridge.settings().interfaces)
    }

    /// The settings of a network that no user has made, by the names that clients know.
    pub(super) fn options(&self) -> BTreeMap<String, String> {
        self.bridge().map(Bridge::options).unwrap_or_default()
    }

    /// The bridge, if it is one.
    pub(super) fn bridge(&self) -> Option<&Bridge> {
        match self {
            Self::Bridge(bridge) => Some(bridge),
            Self::Host | Self::Null => None,
        }
    }

    /// Chooses the interface `name` that the endpoint gets, if it gets one, and keeps what it has
    /// from being given to another.
    pub(super) fn reserve(
        &self,
        wish: &Wish,
        endpoint_id: &str,
        name: &str,
    ) -> Result<Option<Interface>> {
        match self {
            Self::Bridge(bridge) => bridge.reserve(wish, endpoint_id, name).map(Some),
            Self::Host | Self::Null => Ok(None),
        }
    }

    /// Counts what the endpoint has as reserved.
    pub(super) fn adopt(&self, endpoint: &Endpoint) {
        if let (Self::Bridge(bridge), Some(interface)) = (self, &endpoint.interface) {
            bridge.adopt(interface);
        }
    }

    /// Makes the endpoint in the kernel, inside the container's namespace.
    pub(super) fn plug(&self, container: &str, endpoint: &Endpoint, inside: &Inside) -> Result<()> {
        match (self, &endpoint.interface) {
            (Self::Bridge(bridge), Some(interface)) => bridge.plug(container, interface, inside),
            _ => Ok(()),
        }
    }

    /// Gives back what was reserved.
    pub(super) fn release(&self, endpoint: &Endpoint) {
        if let (Self::Bridge(bridge), Some(interface)) = (self, &endpoint.interface) {
            bridge.release(interface);
        }
    }
}
