//! What a kind of network must be able to do.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::OwnedFd;

use super::endpoint::{Connect, Endpoint, Interface, PublishedPort};
use super::info::Subnet;
use crate::error::Result;

/// A kind of network.
///
/// A container's time on a network goes like this. [`reserve`](Driver::reserve) gives it what is
/// counted: an address, ports. That is written down, and then [`attach`](Driver::attach) makes in
/// the kernel what was written down. [`cut_off`](Driver::cut_off) ends its time for everybody else,
/// and [`detach`](Driver::detach) takes all of it back; it is also what undoes an `attach` that
/// failed half way, so both must cope with anything being absent or gone already. After
/// a restart of the manager, the driver is opened with the endpoints that were written down, and
/// goes on as if it had made them itself; [`sweep`](Driver::sweep) then removes what carries this
/// network's mark but belongs to none.
///
/// All methods block.
pub(super) trait Driver: Send + Sync {
    /// Its name in the API.
    fn name(&self) -> &'static str;

    /// The addresses that it gives out, if it does.
    fn subnet(&self) -> Option<Subnet>;

    /// Its settings, by the names that clients know.
    fn options(&self) -> BTreeMap<String, String>;

    /// Chooses what the endpoint gets, and keeps it from being given to another.
    fn reserve(&self, request: &Connect, endpoint_id: &str) -> Result<Reservation>;

    /// Makes the endpoint in the kernel.
    fn attach(&self, endpoint: &Endpoint) -> Result<()>;

    /// Ends what others notice: nobody is sent to the endpoint any more, and its ports are free.
    /// This is quick.
    fn cut_off(&self, endpoint: &Endpoint) -> Result<()>;

    /// Takes back all of [`attach`](Driver::attach), and then of [`reserve`](Driver::reserve). It
    /// goes on past a failed step; what couldn't be taken back stays reserved, for another try.
    /// This waits until the kernel has stopped using what is deleted, which takes it tens of
    /// milliseconds.
    fn detach(&self, endpoint: &Endpoint) -> Result<()>;

    /// Removes what is left in the kernel of containers other than these.
    fn sweep(&self, containers: &HashSet<String>) -> Result<()>;
}

/// What a driver has set aside for an endpoint.
#[derive(Default)]
pub(super) struct Reservation {
    /// Whether the container gets a network namespace of its own.
    pub(super) own_namespace: bool,
    /// Its interface.
    pub(super) interface: Option<Interface>,
    /// Its published ports.
    pub(super) ports: Vec<PublishedPort>,
    /// The sockets that hold them.
    pub(super) sockets: Vec<OwnedFd>,
}
