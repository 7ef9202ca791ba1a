//! The process that answers names reads what containers and strangers send: it gives up what it does
//! not need before it does.

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use crate::error::{Error, Result};

/// Leaves everything but the sockets that are open, and those that it will be given.
pub(super) fn close() -> Result<()> {
    let failed = |errno: rustix::io::Errno| Error::io("give up rights", errno.into());
    // Two sockets of each container.
    let most = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    set_no_new_privs(true).map_err(failed)?;
    no_files().map_err(|error| Error::system(format!("give up files: Landlock: {error}")))?;
    let nothing = CapabilitySet::empty();
    let sets = CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing };
    set_capabilities(None, sets).map_err(failed)
}

fn no_files() -> Result<(), landlock::RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V6))?
        .create()?
        .restrict_self()
        .map(drop)
}
