//! The process that answers names reads what containers and strangers send: it gives up what it does
//! not need before it does. So does the one beside it, which needs more.

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use crate::error::{Error, Result};

/// What a process needs beside the descriptors that it has, and those that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// Nothing.
    None,
    /// To enter network namespaces.
    Namespaces,
}

/// Leaves everything else.
pub(super) fn close(needs: Rights) -> Result<()> {
    let failed = |errno: rustix::io::Errno| Error::io("give up rights", errno.into());
    // Two sockets of each container.
    let most = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    set_no_new_privs(true).map_err(failed)?;
    no_files().map_err(|error| Error::system(format!("give up files: Landlock: {error}")))?;
    let kept = match needs {
        Rights::None => CapabilitySet::empty(),
        Rights::Namespaces => CapabilitySet::SYS_ADMIN,
    };
    let nothing = CapabilitySet::empty();
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: nothing };
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
