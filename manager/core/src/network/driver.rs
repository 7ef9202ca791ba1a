//! The kinds of networks.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::addresses::{self, Addresses};
use super::bridge::Bridge;
use super::bridge::settings::{INTERFACES, Outside, Settings};
use super::endpoint::{Endpoint, Interface, Wish};
use super::info::Subnet;
use super::kernel::netns::Inside;
use super::stacked::{self, Stacked};
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
    /// An interface of the host, on whose wire containers are.
    Stacked(Box<Stacked>),
}

/// How a network that a user makes shall be, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Plan {
    Bridge(Settings),
    Stacked(stacked::Settings),
    /// There is no network: others are made with what is said of this one.
    Template,
}

impl Plan {
    /// Whether its user says that its containers reach nothing else.
    pub(super) fn is_internal(&self) -> bool {
        match self {
            Self::Bridge(settings) => settings.outside == Outside::Unreachable,
            Self::Stacked(settings) => settings.internal,
            Self::Template => false,
        }
    }
}

impl Driver {
    /// Its name in the API.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridge",
            Self::Host => "host",
            Self::Null => "null",
            Self::Stacked(stacked) => stacked.name(),
        }
    }

    /// Whether its containers have network stacks of their own.
    pub(super) fn is_private(&self) -> bool {
        match self {
            Self::Bridge(_) | Self::Null | Self::Stacked(_) => true,
            Self::Host => false,
        }
    }

    /// The addresses that it gives out, if it does.
    pub(super) fn subnets(&self) -> Vec<Subnet> {
        match self {
            Self::Bridge(bridge) => bridge.subnets(),
            Self::Stacked(stacked) => stacked.subnets(),
            Self::Host | Self::Null => Vec::new(),
        }
    }

    /// How the names of its interfaces in containers begin.
    pub(super) fn interfaces(&self) -> &str {
        match self {
            Self::Bridge(bridge) => &bridge.settings().interfaces,
            Self::Stacked(_) | Self::Host | Self::Null => INTERFACES,
        }
    }

    /// The settings of a network that no user has made, by the names that clients know.
    pub(super) fn options(&self) -> BTreeMap<String, String> {
        self.bridge().map(Bridge::options).unwrap_or_default()
    }

    /// The bridge, if it is one.
    pub(super) fn bridge(&self) -> Option<&Bridge> {
        match self {
            Self::Bridge(bridge) => Some(bridge),
            Self::Host | Self::Null | Self::Stacked(_) => None,
        }
    }

    /// What it stands on an interface of the host with, if it does.
    pub(super) fn stacked(&self) -> Option<&Stacked> {
        match self {
            Self::Stacked(stacked) => Some(stacked),
            Self::Bridge(_) | Self::Host | Self::Null => None,
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
            Self::Stacked(stacked) => stacked.reserve(wish, name).map(Some),
            Self::Host | Self::Null => Ok(None),
        }
    }

    /// Counts what the endpoint has as reserved.
    pub(super) fn adopt(&self, endpoint: &Endpoint) {
        for address in endpoint.interface.iter().flat_map(Interface::addresses) {
            addresses::adopt(self.addresses(), address);
        }
    }

    /// Makes the endpoint in the kernel, inside the container's namespace.
    pub(super) fn plug(&self, container: &str, endpoint: &Endpoint, inside: &Inside) -> Result<()> {
        match (self, &endpoint.interface) {
            (Self::Bridge(bridge), Some(interface)) => bridge.plug(container, interface, inside),
            (Self::Stacked(stacked), Some(interface)) => stacked.plug(interface, inside),
            (Self::Host | Self::Null, _) | (_, None) => Ok(()),
        }
    }

    /// Gives back what was reserved.
    pub(super) fn release(&self, endpoint: &Endpoint) {
        for address in endpoint.interface.iter().flat_map(Interface::addresses) {
            addresses::release(self.addresses(), address);
        }
    }

    fn addresses(&self) -> &[Addresses] {
        match self {
            Self::Bridge(bridge) => bridge.addresses(),
            Self::Stacked(stacked) => stacked.addresses(),
            Self::Host | Self::Null => &[],
        }
    }
}

/// Takes an interface away from the container whose namespace the file `netns` holds; it is no error
/// if it is gone. Its network may be gone, too.
pub(super) fn unplug(netns: Option<&Path>, interface: &Interface) -> Result<()> {
    match (interface.host_name.is_empty(), netns) {
        (false, _) => Bridge::unplug(interface),
        (true, Some(netns)) => stacked::unplug(netns, interface),
        (true, None) => Ok(()),
    }
}
