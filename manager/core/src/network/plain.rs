//! The drivers of networks that give out nothing: `host` shares the host's own network stack,
//! `null` is a network namespace with only loopback.

use std::collections::{BTreeMap, HashSet};

use super::driver::{Driver, Reservation};
use super::endpoint::{Connect, Endpoint};
use super::info::Subnet;
use super::kernel::netlink::Batch;
use super::kernel::netns;
use crate::error::Result;

/// A network without interfaces of its own.
pub(super) enum Plain {
    /// The host's network stack.
    Host,
    /// Only loopback.
    Null,
}

impl Driver for Plain {
    fn name(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Null => "null",
        }
    }

    fn subnet(&self) -> Option<Subnet> {
        None
    }

    fn options(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn reserve(&self, _request: &Connect, _endpoint_id: &str) -> Result<Reservation> {
        let own_namespace = match self {
            Self::Host => false,
            Self::Null => true,
        };
        Ok(Reservation { own_namespace, ..Reservation::default() })
    }

    fn attach(&self, endpoint: &Endpoint) -> Result<()> {
        let Some(path) = &endpoint.netns else { return Ok(()) };
        netns::create(path, |inside| {
            let mut batch = Batch::default();
            batch.set_up("lo");
            inside.run(&batch)
        })
    }

    fn cut_off(&self, _endpoint: &Endpoint) -> Result<()> {
        Ok(())
    }

    fn detach(&self, endpoint: &Endpoint) -> Result<()> {
        endpoint.netns.as_deref().map_or(Ok(()), netns::remove)
    }

    fn sweep(&self, _containers: &HashSet<String>) -> Result<()> {
        Ok(())
    }
}
