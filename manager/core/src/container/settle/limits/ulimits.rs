//! Limits of processes, `ulimit`.

use crate::container::resources::{Resources, Ulimit};
use crate::error::{Error, Result};

/// The limits of a process that the kernel has.
const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Adds the manager's limits of processes that the container doesn't set itself.
pub(in super::super) fn fill_in(resources: &mut Resources, defaults: &[Ulimit]) {
    for default in defaults {
        if !resources.ulimits.iter().any(|own| own.name == default.name) {
            resources.ulimits.push(default.clone());
        }
    }
}

/// Checks that the kernel has such limits, and that each of them can be.
pub(super) fn check(ulimits: &[Ulimit]) -> Result<()> {
    ulimits.iter().try_for_each(Ulimit::check)
}

impl Ulimit {
    /// Checks that the kernel has such a limit, and that it can be.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`], in docker's words.
    pub fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        if self.soft < -1 || self.hard < -1 {
            return Err(Error::invalid(format!("invalid ulimit {}", self.name)));
        }
        if self.hard != -1 && (self.soft > self.hard || self.soft == -1) {
            return Err(Error::invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                self.soft, self.hard
            )));
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<()> {
    if ULIMITS.contains(&name.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    let wrong = format!("wrong rlimit value: RLIMIT_{}", name.to_uppercase());
    Err(Error::invalid(format!("invalid ulimit type: {name}: {wrong}")))
}
