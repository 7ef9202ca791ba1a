//! The processes give up what they do not need, before they read what is untrusted.

use std::os::fd::{AsFd, BorrowedFd};

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
pub(super) const FOR_FILES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP);

/// Descriptors that may be open in a process that unpacks: directories, and a few more.
const DESCRIPTORS: u64 = 1024;
/// Bytes of address space that uncompressing takes at the most: the largest window is an eighth.
const FOR_WINDOWS: u64 = 1 << 30;

/// Closes all but the three streams: whoever started the manager may have left it something open.
pub(super) fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let names = entries.flatten().map(|entry| entry.file_name());
    let open: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // This program has opened none yet but the list itself, which is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

/// Leaves everything but the directory `root`, which becomes this process's own root, with these
/// capabilities.
pub(super) fn close(
    root: BorrowedFd<'_>,
    capabilities: CapabilitySet,
    limits: &Limits,
) -> Result<()> {
    rustix::process::fchdir(root).map_err(failed("enter the directory"))?;
    rustix::process::chroot(".").map_err(failed("make the directory the root"))?;
    // Files then have the modes that they are made with.
    rustix::process::umask(rustix::fs::Mode::empty());
    limit(Resource::Nofile, DESCRIPTORS)?;
    give_up(limits.memory, Some(root), capabilities)?;
    filter::for_unpacking()
}

/// Leaves everything but the pipes that are open.
pub(super) fn close_all_but_pipes(limits: &Limits) -> Result<()> {
    give_up(limits.memory.min(FOR_WINDOWS), None, CapabilitySet::empty())?;
    limit(Resource::Nofile, 0)?;
    limit(Resource::Fsize, 0)?;
    filter::for_uncompressing()
}

fn give_up(
    memory: u64,
    directory: Option<BorrowedFd<'_>>,
    capabilities: CapabilitySet,
) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failed("end with the manager"))?;
    limit(Resource::Core, 0)?;
    limit(Resource::As, memory)?;
    rustix::thread::set_no_new_privs(true).map_err(failed("give up new privileges"))?;
    landlock(directory).map_err(|error| {
        Error::system(format!("fence in what reads a layer: Landlock: {error}"))
    })?;
    let sets = CapabilitySets {
        effective: capabilities,
        permitted: capabilities,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).map_err(failed("give up capabilities"))
}

fn limit(resource: Resource, most: u64) -> Result<()> {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    rustix::process::setrlimit(resource, limit).map_err(failed("limit"))
}

/// What the root alone would not keep from a process, where the kernel knows how: a second fence
/// around files, no TCP, no signals or sockets to others.
fn landlock(directory: Option<BorrowedFd<'_>>) -> Result<(), landlock::RulesetError> {
    let abi = ABI::V6;
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?;
    let rules = match directory {
        Some(directory) => {
            rules.add_rule(PathBeneath::new(directory.as_fd(), AccessFs::from_all(abi)))?
        }
        None => rules,
    };
    rules.restrict_self().map(drop)
}

fn failed(doing: &'static str) -> impl Fn(rustix::io::Errno) -> Error {
    move |errno| Error::io(format_args!("fence in what reads a layer: {doing}"), errno.into())
}
