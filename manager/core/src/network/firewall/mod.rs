//! The packet filter of one manager: an nftables table of its own, whose sets say which bridges
//! there are, and whose maps say which of the host's ports lead to which container.
//!
//! The rules are the same however many networks there are and ports are published; each adds
//! elements to sets and maps. All of the table follows from the bridges' settings and the published
//! ports, so it can be laid anew at any time, in one transaction that leaves no moment without it.

mod elements;
mod flows;
mod ruleset;
mod shape;
mod watch;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) use watch::Watch;
pub(super) use zone::Zone;

use super::endpoint::{Protocol, PublishedPort};
use super::family::ByFamily;
use super::kernel::netlink::Netlink;
use crate::error::{Error, Kind, Result};
use shape::Shape;

/// The group of links that the bridges of all managers are in ("tare"), by which the packet filter
/// of one knows the others'.
pub(super) const BRIDGES: u32 = u32::from_be_bytes(*b"tare");

/// For whom the host forwards packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwarding {
    /// For whoever sends it packets.
    ForAll,
    /// For containers alone.
    ForContainers,
}

/// Where a published port of the host leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    /// The container's id, for people who list the table.
    pub(super) container: String,
    /// The port and where on the host it is.
    pub(super) port: PublishedPort,
    /// The container's address.
    pub(super) address: IpAddr,
    /// Whether who has a route reaches it at the container's address, too.
    pub(super) is_direct: bool,
}

/// The packet filter of one manager.
pub(super) struct Firewall {
    /// The manager's default bridge, after which the table is named.
    bridge: String,
    forwarding: ByFamily<Forwarding>,
    /// Locked while the table is changed, so that it never differs from what it must be for
    /// longer.
    state: Mutex<State>,
}

struct State {
    /// Stays open: the kernel lets go of what was removed before it lets close a socket, and that
    /// takes it milliseconds.
    netlink: Netlink,
    content: Content,
    /// The rules that were laid last.
    laid: Shape,
}

/// What the table must have.
#[derive(Default)]
struct Content {
    /// By the bridge's name.
    zones: BTreeMap<String, Zone>,
    /// By container.
    published: BTreeMap<String, Vec<Published>>,
}

impl Firewall {
    /// The packet filter of the manager whose default bridge has this name; [`Firewall::lay`] makes
    /// it.
    pub(super) fn new(bridge: &str, forwarding: ByFamily<Forwarding>) -> Result<Self> {
        let netlink = Netlink::open(libc::NETLINK_NETFILTER)?;
        let state =
            Mutex::new(State { netlink, content: Content::default(), laid: Shape::default() });
        Ok(Self { bridge: bridge.to_owned(), forwarding, state })
    }

    /// The name of its table.
    fn table(&self) -> String {
        format!("tare-{}", self.bridge)
    }

    /// Counts a bridge among what the table must have, for [`Firewall::lay`] to put there.
    pub(super) fn adopt_zone(&self, zone: Zone) {
        self.state().content.zones.insert(zone.bridge.clone(), zone);
    }

    /// Counts these ports among what the table must have, for [`Firewall::lay`] to put there.
    pub(super) fn adopt(&self, container: &str, ports: Vec<Published>) {
        self.state().content.published.insert(container.to_owned(), ports);
    }

    /// Makes the table, or replaces it, in one transaction.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if there is no `nft`; [`Kind::System`] if it fails.
    pub(super) fn lay(&self) -> Result<()> {
        self.lay_in(&mut self.state())
    }

    /// Fences a bridge in that is new.
    ///
    /// # Errors
    /// The same.
    pub(super) fn fence(&self, zone: Zone) -> Result<()> {
        let mut state = self.state();
        let elements = zone.added_to(&self.table());
        state.content.zones.insert(zone.bridge.clone(), zone);
        self.change(&mut state, &elements)
    }

    /// Forgets a bridge that is gone.
    ///
    /// # Errors
    /// The same.
    pub(super) fn unfence(&self, bridge: &str) -> Result<()> {
        let mut state = self.state();
        let Some(zone) = state.content.zones.remove(bridge) else { return Ok(()) };
        self.change(&mut state, &zone.taken_from(&self.table()))
    }

    /// Changes elements, or lays all of the table if it is not as it was.
    fn change(&self, state: &mut State, elements: &str) -> Result<()> {
        match elements::table_exists(&state.netlink, &self.table())? && run_nft(elements).is_ok() {
            true => Ok(()),
            false => self.lay_in(state),
        }
    }

    /// Makes the table if it isn't there, or lacks rules; returns whether that was so.
    ///
    /// # Errors
    /// The same.
    fn restore(&self) -> Result<bool> {
        let (table, mut state) = (self.table(), self.state());
        if elements::table_exists(&state.netlink, &table)?
            && Shape::of(&state.netlink, &table)?.has_all_of(&state.laid)
        {
            return Ok(false);
        }
        self.lay_in(&mut state)?;
        tracing::warn!(table, "someone has deleted rules of the packet filter; made them again");
        Ok(true)
    }

    /// Lets the world reach these ports of a container.
    pub(super) fn publish(&self, container: &str, ports: Vec<Published>) -> Result<()> {
        let mut state = self.state();
        state.content.published.insert(container.to_owned(), ports.clone());
        if elements::table_exists(&state.netlink, &self.table())? {
            let elements: Vec<_> = ports.iter().flat_map(Published::elements).collect();
            elements::add(&state.netlink, &self.table(), &elements)?;
        } else {
            tracing::warn!(table = self.table(), "the packet filter was flushed; making it again");
            self.lay_in(&mut state)?;
        }
        forget_earlier_flows(&state.netlink, &ports)
    }

    /// Takes back what [`Firewall::publish`] did; it is no error if that is nothing.
    pub(super) fn withdraw(&self, container: &str) -> Result<()> {
        let mut state = self.state();
        let State { netlink, content: Content { published, .. }, .. } = &mut *state;
        let Some(ports) = published.get(container) else { return Ok(()) };
        let elements: Vec<_> = ports.iter().flat_map(Published::elements).collect();
        elements::remove(netlink, &self.table(), &elements)?;
        let silent = ports.iter().filter(|port| has_no_connections(port));
        let addresses: BTreeSet<_> = silent.map(|port| port.address).collect();
        for address in addresses {
            flows::forget_led_to(netlink, address)?;
        }
        published.remove(container);
        Ok(())
    }

    fn lay_in(&self, state: &mut State) -> Result<()> {
        let table = self.table();
        run_nft(&ruleset::render(self, &state.content))
            .map_err(|error| error.while_doing(format!("make the nftables table {table}")))?;
        state.laid = Shape::of(&state.netlink, &table)?;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets clients that were sending to these ports before find the container.
fn forget_earlier_flows(netlink: &Netlink, ports: &[Published]) -> Result<()> {
    if !ports.iter().any(has_no_connections) {
        return Ok(());
    }
    let links = Netlink::open(libc::NETLINK_ROUTE)?;
    let local: Vec<_> = links.addresses()?.into_iter().map(|(_, address)| address.addr()).collect();
    ports
        .iter()
        .filter(|port| has_no_connections(port) && port.port.host_port != 0)
        .try_for_each(|port| flows::forget_sent_to(netlink, &port.port, &local))
}

/// Whether flows to the port have no end that the kernel could see.
fn has_no_connections(published: &Published) -> bool {
    match published.port.protocol {
        Protocol::Tcp | Protocol::Sctp => false,
        Protocol::Udp => true,
    }
}

/// Has the program `nft` carry out this script, in the calling thread's network namespace.
pub(super) fn run_nft(script: &str) -> Result<()> {
    let failed = |error| Error::io("run nft", error);
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::new(
                Kind::Unavailable,
                "the program nft is not on PATH; install the package nftables",
            ),
            _ => failed(error),
        })?;
    if let Some(mut stdin) = nft.stdin.take() {
        // If nft ends before it has read everything, its own message says more than EPIPE does.
        let _ = stdin.write_all(script.as_bytes());
    }
    let output = nft.wait_with_output().map_err(failed)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::system(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
