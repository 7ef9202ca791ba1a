//! Facts about this machine: what `docker info` shows and what `tared check` judges.
//!
//! Everything is read anew at each call; a fact that can't be read is left empty, since none of
//! them decides what the domain does.

mod cgroup;
mod check;
mod firewall;
mod identity;
mod program;
mod security;
mod system;

pub use cgroup::{Cgroups, Controller, Seat};
pub use check::{Finding, Verdict, check};
pub use identity::{manager_id, program_version, runtime_features};
pub use program::find_program;
pub use security::Security;
pub use system::{Architecture, System};

/// What this machine is and offers.
#[derive(Debug, Clone)]
pub struct Host {
    /// Kernel, distribution, processors and memory.
    pub system: System,
    /// Which cgroup controllers there are, and on which hierarchy.
    pub cgroups: Cgroups,
    /// The confinements that the kernel offers.
    pub security: Security,
}

impl Host {
    /// Reads the facts.
    pub fn read() -> Self {
        Self { system: System::read(), cgroups: Cgroups::read(), security: Security::read() }
    }
}
