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
    for ulimit in ulimits {
        check_name(&ulimit.name)?;
        if ulimit.soft < -1 || ulimit.hard < -1 {
            return Err(Error::invalid(format!("invalid ulimit {}", ulimit.name)));
        }
        if ulimit.hard != -1 && (ulimit.soft > ulimit.hard || ulimit.soft == -1) {
            return Err(Error::invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                ulimit.soft, ulimit.hard
            )));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    if ULIMITS.contains(&name.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    let wrong = format!("wrong rlimit value: RLIMIT_{}", name.to_uppercase());
    Err(Error::invalid(format!("invalid ulimit type: {name}: {wrong}")))
}
