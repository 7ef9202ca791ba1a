//! The process that unpacks gives up what it does not need, before it reads what it is to unpack.

use std::os::fd::{AsFd, OwnedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::filter;
use crate::error::{Error, Result};
use crate::snapshot::Limits;

/// What files of any owner, mode and attribute take. All of it ends at the snapshot's directory.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP);

/// Descriptors that may be open: directories, and a few more.
const DESCRIPTORS: u64 = 1024;

/// Leaves everything but the directory `root`, which becomes this process's own root. Every thread
/// that it starts from now on is inside, too.
pub(super) fn close(root: OwnedFd, limits: &Limits) -> Result<()> {
    let failed = |doing: &'static str| {
        move |errno: rustix::io::Errno| {
            Error::io(format_args!("unpack confined: {doing}"), errno.into())
        }
    };
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failed("end with the manager"))?;
    rustix::process::fchdir(&root).map_err(failed("enter the directory"))?;
    rustix::process::chroot(".").map_err(failed("make the directory the root"))?;
    // Files then have the modes that they are made with.
    rustix::process::umask(rustix::fs::Mode::empty());
    limit(Resource::Core, 0).map_err(failed("limit"))?;
    limit(Resource::Nofile, DESCRIPTORS).map_err(failed("limit"))?;
    limit(Resource::As, limits.memory).map_err(failed("limit"))?;
    rustix::thread::set_no_new_privs(true).map_err(failed("give up new privileges"))?;
    landlock(&root)?;
    drop(root);
    let sets =
        CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(failed("give up capabilities"))?;
    filter::install()
}

fn limit(resource: Resource, most: u64) -> rustix::io::Result<()> {
    rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
}

/// What the root alone would not keep from this process, where the kernel knows how: a second fence
/// around files, no TCP, no signals or sockets to others.
fn landlock(root: &OwnedFd) -> Result<()> {
    let restrict = || -> std::result::Result<(), landlock::RulesetError> {
        let abi = ABI::V6;
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rule(PathBeneath::new(root.as_fd(), AccessFs::from_all(abi)))?
            .restrict_self()?;
        Ok(())
    };
    restrict().map_err(|error| Error::system(format!("unpack confined: Landlock: {error}")))
}
