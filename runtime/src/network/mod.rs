//! Network devices of the host that a container is to have.
//!
//! They are moved into its network namespace, where they keep their addresses and are brought up.
//! The namespace's end takes them from there: a real device comes back to the host, a virtual one
//! goes.

mod message;
mod netlink;
pub(crate) mod plan;

use crate::error::{Context, Error, Kind, Result};
use message::Address;
use netlink::Netlink;
use plan::DevicePlan;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A device that was found to be movable.
struct Candidate<'a> {
    plan: &'a DevicePlan,
    index: u32,
    /// The name that it gets.
    name: String,
}

/// Moves `devices` from this process's network namespace into `namespace`.
///
/// All are looked at first: a device that is not there, or a name that is taken, leaves them all
/// where they are.
pub(crate) fn move_devices(devices: &[DevicePlan], namespace: BorrowedFd<'_>) -> Result<()> {
    let mut here = Netlink::open().context(|| "open a netlink socket")?;
    let mut there = Netlink::open_in(namespace)
        .context(|| "open a netlink socket in the container's network namespace")?;
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for plan in devices {
        let index = find(&mut here, plan)?;
        let taken: Vec<&str> = candidates.iter().map(|other| other.name.as_str()).collect();
        let name = free_name(&mut there, plan, &taken)?;
        candidates.push(Candidate { plan, index, name });
    }
    for candidate in &candidates {
        candidate.move_to(namespace, &mut here, &mut there).context(|| {
            format!("move network device {} to the container", candidate.plan.host_name())
        })?;
    }
    Ok(())
}

fn find(here: &mut Netlink, plan: &DevicePlan) -> Result<u32> {
    let name = plan.host_name();
    let found = here.index_of(name).context(|| format!("look for network device {name}"))?;
    found.ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!("link not found for interface {name} on runtime namespace"),
        )
    })
}

/// A name that no device of the container has: the one asked for, or the first that its template
/// makes.
fn free_name(there: &mut Netlink, plan: &DevicePlan, taken: &[&str]) -> Result<String> {
    for name in plan.names() {
        let found = there.index_of(&name).context(|| format!("look for network device {name}"))?;
        if found.is_none() && !taken.contains(&name.as_str()) {
            return Ok(name);
        }
    }
    let name = plan.container_name();
    Err(Error::new(Kind::Exists, format!("the container has a network device {name} already")))
}

impl Candidate<'_> {
    fn move_to(
        &self,
        namespace: BorrowedFd<'_>,
        here: &mut Netlink,
        there: &mut Netlink,
    ) -> Result<()> {
        // Its addresses are read before it goes down: that takes those of IPv6 away.
        let addresses = here.addresses_of(self.index).context(|| "get its addresses")?;
        here.set_down(self.index).context(|| "set it down")?;
        here.move_and_rename(self.index, namespace.as_raw_fd(), &self.name)
            .context(|| format!("move it as {}", self.name))?;
        let gone = || Error::new(Kind::NotFound, format!("{} is not there any more", self.name));
        let index = there.index_of(&self.name).context(|| "look for it")?.ok_or_else(gone)?;
        for address in addresses.iter().filter(|address| address.is_portable()) {
            there.add_address(index, address).context(|| format!("add address {address}"))?;
        }
        there.set_up(index).context(|| "set it up")
    }
}

impl Address {
    /// Whether it was given by someone and means the same anywhere: not one that is leased, or that
    /// is for the host or the link alone.
    fn is_portable(&self) -> bool {
        self.flags & libc::IFA_F_PERMANENT != 0 && self.scope == libc::RT_SCOPE_UNIVERSE
    }
}
