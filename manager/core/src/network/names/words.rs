//! What the manager says to the process that answers names, and what that replies.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::network::endpoint::{Endpoint, Sandbox, Standpoint};

/// What the manager says; each is replied to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Who are you?
    Hello,
    /// Who asks, in place of what was said of the same container before. With descriptors: of its
    /// network namespace, and before that of two sockets, UDP and TCP, if it is new.
    Put(Asker),
    /// This container asks nothing any more, and is called nothing.
    Forget(String),
    /// Another process answers this container from now on: give me its sockets.
    HandOver(String),
    /// Who asks now, of those whose ids come after this?
    List(String),
}

/// The reply.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// One that runs this program.
    Me(String),
    /// One that can't open sockets any more: another is to take its place.
    Alone,
    /// It is so from now on.
    Done,
    /// It is, and as nobody asks any more, the process ends.
    Leaving,
    /// With its sockets, UDP and TCP. What has been asked already is answered yet.
    Handed,
    /// These containers ask, in the order of their ids. There may be more behind the last.
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
    /// From where they are asked.
    #[serde(default)]
    pub(super) standpoint: Standpoint,
    /// Whether a name of a single word is nobody else's business. That is so where it is tried
    /// with the search domains first.
    #[serde(default)]
    pub(super) keeps_single_words: bool,
}

/// What a container is on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The network's id.
    pub(super) network: String,
    /// The network's name.
    pub(super) network_name: String,
    pub(super) addresses: Vec<IpAddr>,
    /// What it is called, the first of which is told for its addresses.
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
        named.sort_by_key(|endpoint| {
            let leads_out = gateway == Some(endpoint.endpoint_id.as_str());
            (!leads_out, Reverse(endpoint.gateway_priority), endpoint.network.as_str())
        });
        let place = |endpoint: &Endpoint| {
            Some(Place {
                network: endpoint.network_id.clone(),
                network_name: endpoint.network.clone(),
                addresses: endpoint.interface.as_ref()?.addresses().collect(),
                names: endpoint.names.clone(),
                links: endpoint.links.clone(),
            })
        };
        let forwarding = &sandbox.forwarding;
        // Who is on none but internal networks reaches nobody by way of the host.
        let is_cut_off = gateway.is_none() && forwarding.standpoint == Standpoint::Host;
        Self {
            container: sandbox.container.clone(),
            places: named.into_iter().filter_map(place).collect(),
            name_servers: if is_cut_off { Vec::new() } else { sandbox.name_servers.clone() },
            standpoint: forwarding.standpoint,
            keeps_single_words: forwarding.keeps_single_words,
        }
    }
}
