//! Networks: what a container's packets can reach, and who can reach it.

mod endpoint;
mod info;
mod mac;

use std::collections::HashSet;
use std::sync::Arc;

pub use endpoint::{
    Connect, Connected, Endpoint, Interface, PortChoice, PortRequest, Protocol, PublishedPort,
};
pub use info::{NetworkInfo, Subnet};
pub use mac::MacAddress;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::store::Store;

/// The networks of this manager and what is connected to them.
pub struct Networks {}

impl Networks {
    /// Makes or repairs the bridge and our packet filter, and takes over what containers that
    /// may still run have. Call [`Networks::retain`] when it is known which do.
    pub async fn open(_config: &Config, _store: Arc<Store>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {}))
    }

    /// Connects a container: its network namespace, its interface, its published ports. Either
    /// all of it is there on return, or nothing.
    pub async fn connect(self: &Arc<Self>, request: Connect) -> Result<Connected> {
        Err(Error::unsupported(format!("the network {}", request.network)))
    }

    /// Takes away what a container has of its network; it is no error if that is nothing.
    pub async fn disconnect(self: &Arc<Self>, _container: &str) -> Result<()> {
        Ok(())
    }

    /// Takes away what belongs to no container of `running`.
    pub async fn retain(self: &Arc<Self>, _running: &HashSet<String>) -> Result<()> {
        Ok(())
    }

    /// Every network, in the order of their names.
    pub fn list(&self) -> Vec<NetworkInfo> {
        Vec::new()
    }

    /// The network with this name, id or unique beginning of an id.
    pub fn find(&self, name_or_id: &str) -> Result<NetworkInfo> {
        Err(Error::not_found(format!("network {name_or_id} not found")))
    }

    /// The endpoint of a container.
    pub fn endpoint(&self, _container: &str) -> Option<Endpoint> {
        None
    }
}
