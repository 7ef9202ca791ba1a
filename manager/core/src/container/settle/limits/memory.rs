//! Limits of memory.

use super::{Means, warn};
use crate::container::resources::Resources;
use crate::error::{Error, Result};

/// With less, a container doesn't even come up.
const LEAST_MEMORY: i64 = 6 << 20;
/// Checks the limits of memory, and takes out what this host can't keep.
pub(super) fn settle(
    resources: &mut Resources,
    means: &Means,
    warnings: &mut Vec<String>,
) -> Result<()> {
    // Old clients say -1 for "not said".
    if resources.memory_swappiness == Some(-1) {
        resources.memory_swappiness = None;
    }
    if resources.memory != 0 && resources.memory < LEAST_MEMORY {
        return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
    }
    if resources.memory > 0 && !means.memory {
        warn(
            warnings,
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        );
        resources.memory = 0;
        resources.memory_swap = -1;
    }
    if resources.memory > 0 && resources.memory_swap != -1 && !means.swap {
        warn(
            warnings,
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
        );
        resources.memory_swap = -1;
    }
    if resources.memory_swap > 0 && resources.memory_swap < resources.memory {
        return Err(Error::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if let Some(swappiness) = resources.memory_swappiness {
        if !means.swappiness {
            warn(
                warnings,
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
            );
            resources.memory_swappiness = None;
        } else if !(0..=100).contains(&swappiness) {
            return Err(Error::invalid(format!(
                "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
            )));
        }
    }
    if resources.memory_reservation > 0 {
        if !means.memory {
            warn(
                warnings,
                "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
            );
            resources.memory_reservation = 0;
        } else if resources.memory_reservation < LEAST_MEMORY {
            return Err(Error::invalid("Minimum memory reservation allowed is 6MB"));
        } else if resources.memory > 0 && resources.memory < resources.memory_reservation {
            return Err(Error::invalid(
                "Minimum memory limit can not be less than memory reservation limit, see usage",
            ));
        }
    }
    if !means.oom_control {
        if resources.oom_kill_disable == Some(true) {
            warn(
                warnings,
                "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
            );
        }
        resources.oom_kill_disable = None;
    } else if resources.oom_kill_disable == Some(true) && resources.memory == 0 {
        warn(
            warnings,
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
        );
    }
    Ok(())
}
