//! What the manager says to the process that answers names, and what that replies.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::network::endpoint::{Endpoint, Sandbox};

/// What the manager says; each is replied to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Who asks, in place of what was said of the same container before. With two sockets, UDP and
    /// TCP, if it is new.
    Put(Asker),
    /// This container asks nothing any more, and is called nothing.
    Forget(String),
    /// Who asks now?
    List,
}

/// The reply.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// It is so from now on.
    Done,
    /// It is, and as nobody asks any more, the process ends.
    Leaving,
    /// These containers ask.
    Known(Vec<String>),
}

/// A container that asks for names, and is called by some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asker {
    /// Its id.
    pub(super) container: String,
    /// Where it is, in the order in which names are looked for.
    pub(super) places: Vec<Place>,
    /// Who is asked for what nobody is called. None if it reaches nothing outside.
    pub(super) name_servers: Vec<IpAddr>,
}

/// What a container is on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The network's id.
    pub(super) network: String,
    /// The network's name.
    pub(super) network_name: String,
    pub(super) address: Ipv4Addr,
    /// What it is called, the first of which is told for its address.
    pub(super) names: Vec<String>,
    /// What it alone calls others: its word, and one of their names.
    pub(super) links: BTreeMap<String, String>,
}

impl Asker {
    /// What a container's sandbox says.
    pub(super) fn of(sandbox: &Sandbox) -> Self {
        let gateway = sandbox.way_out().map(|endpoint| endpoint.endpoint_id.as_str());
        let mut named: Vec<&Endpoint> =
            sandbox.endpoints.iter().filter(|endpoint| !endpoint.names.is_empty()).collect();
        named.sort_by_key(|endpoint| gateway != Some(endpoint.endpoint_id.as_str()));
        let place = |endpoint: &Endpoint| {
            Some(Place {
                network: endpoint.network_id.clone(),
                network_name: endpoint.network.clone(),
                address: match endpoint.interface.as_ref()?.ipv4?.address {
                    IpAddr::V4(address) => address,
                    IpAddr::V6(_) => return None,
                },
                names: endpoint.names.clone(),
                links: endpoint.links.clone(),
            })
        };
        Self {
            container: sandbox.container.clone(),
            places: named.into_iter().filter_map(place).collect(),
            name_servers: match gateway {
                Some(_) => sandbox.name_servers.clone(),
                None => Vec::new(),
            },
        }
    }
}
