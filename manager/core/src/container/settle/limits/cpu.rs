//! Limits of processors.

use std::collections::BTreeSet;

use super::{Means, warn};
use crate::container::resources::Resources;
use crate::error::{Error, Result};

/// Billionths of a CPU in one.
pub(super) const WHOLE_CPU: i64 = 1_000_000_000;

/// Real-time limits; as in docker, they are refused where the kernel hasn't got them.
pub(super) fn check_realtime(resources: &Resources, means: &Means) -> Result<()> {
    let (period, runtime) = (resources.cpu_realtime_period, resources.cpu_realtime_runtime);
    if (period != 0 || runtime != 0) && !means.realtime {
        return Err(Error::invalid("kernel does not support CPU real-time scheduler"));
    }
    if period != 0 && runtime > period {
        return Err(Error::invalid(
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ));
    }
    Ok(())
}

/// Checks the limits of processors, and takes out what this host can't keep.
pub(super) fn settle(
    resources: &mut Resources,
    means: &Means,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if resources.nano_cpus > 0 && resources.cpu_period > 0 {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ));
    }
    if resources.nano_cpus > 0 && resources.cpu_quota > 0 {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ));
    }
    if resources.nano_cpus > 0 && !means.cpu_quota {
        return Err(Error::invalid(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the \
             cgroup is not mounted",
        ));
    }
    let most = i64::try_from(means.processors).unwrap_or(i64::MAX).saturating_mul(WHOLE_CPU);
    if !(0..=most).contains(&resources.nano_cpus) {
        let processors = means.processors;
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs \
             available"
        )));
    }
    if resources.cpu_shares < 0 {
        return Err(Error::invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            resources.cpu_shares
        )));
    }
    if resources.cpu_shares > 0 && !means.cpu {
        warn(
            warnings,
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
        );
        resources.cpu_shares = 0;
    }
    if (resources.cpu_period != 0 || resources.cpu_quota != 0) && !means.cpu_quota {
        warn(
            warnings,
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
        );
        resources.cpu_period = 0;
        resources.cpu_quota = 0;
    }
    if resources.cpu_period != 0 && !(1_000..=1_000_000).contains(&resources.cpu_period) {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if resources.cpu_quota > 0 && resources.cpu_quota < 1_000 {
        return Err(Error::invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    if (!resources.cpuset_cpus.is_empty() || !resources.cpuset_mems.is_empty()) && !means.cpuset {
        warn(
            warnings,
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
        );
        resources.cpuset_cpus.clear();
        resources.cpuset_mems.clear();
    }
    check_set("cpus", "CPUs", &resources.cpuset_cpus, "/sys/devices/system/cpu/online")?;
    check_set("mems", "memory nodes", &resources.cpuset_mems, "/sys/devices/system/node/online")
}

/// Checks that `text` is a list of numbers, and that all of them are in the list of `file`.
fn check_set(name: &str, what: &str, text: &str, file: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let wanted = number_set(text).ok_or_else(|| {
        let what = format!("Invalid value {text} for cpuset {name}: invalid format: {text}");
        Error::invalid(what)
    })?;
    // A host without such a list (no NUMA) has what the kernel always has: number 0.
    let online = std::fs::read_to_string(file).unwrap_or_else(|_| "0".to_owned());
    let online = online.trim();
    let available = number_set(online).unwrap_or_default();
    if wanted.iter().all(|number| available.contains(number)) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Requested {what} are not available - requested {text}, available: {online}"
    )))
}

/// The numbers of `0-2,4`; `None` if it is no such list.
fn number_set(text: &str) -> Option<BTreeSet<u32>> {
    /// More than any machine has.
    const MOST: u32 = 8192;
    let mut numbers = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u32 = first.trim().parse().ok()?;
        let last: u32 = last.trim().parse().ok()?;
        if first > last || last > MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}
