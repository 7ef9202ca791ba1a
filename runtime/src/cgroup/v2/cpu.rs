//! The v2 cpu and cpuset controllers.

use std::path::Path;

use oci_spec::runtime::LinuxCpu;
use rustix::io::Errno;

use super::super::{convert, file};
use crate::error::Result;

/// The kernel's period, in microseconds, where none is given.
const DEFAULT_PERIOD: u64 = 100_000;

/// Sets weight and bandwidth as `cpu` names them; zero leaves a value as it is.
pub(super) fn limit(directory: &Path, cpu: &LinuxCpu) -> Result<()> {
    if cpu.realtime_runtime().is_some_and(|runtime| runtime != 0) {
        return Err(super::only_on_v1("cpu.realtimeRuntime"));
    }
    if cpu.realtime_period().is_some_and(|period| period != 0) {
        return Err(super::only_on_v1("cpu.realtimePeriod"));
    }
    if let Some(idle) = cpu.idle() {
        file::write(directory, "cpu.idle", &idle.to_string())?;
    }
    if let Some(weight) = convert::cpu_weight(cpu.shares().unwrap_or(0)) {
        file::write(directory, "cpu.weight", &weight.to_string())?;
    }
    limit_bandwidth(directory, cpu)
}

/// Burst and quota. The kernel checks one against the other, so a burst that it refuses now is
/// tried again after the quota, if there is one to come.
fn limit_bandwidth(directory: &Path, cpu: &LinuxCpu) -> Result<()> {
    let quota = cpu.quota().unwrap_or(0);
    let period = cpu.period().unwrap_or(0);
    let mut burst = cpu.burst().map(|burst| burst.to_string());
    if let Some(value) = &burst {
        match file::try_write(directory, "cpu.max.burst", value) {
            Ok(()) => burst = None,
            Err(Errno::INVAL) if quota != 0 => {}
            Err(errno) => return Err(file::refused(directory, "cpu.max.burst", value, errno)),
        }
    }
    if quota == 0 && period == 0 {
        return Ok(());
    }
    file::write(directory, "cpu.max", &bandwidth(quota, period))?;
    match burst {
        Some(value) => file::write(directory, "cpu.max.burst", &value),
        None => Ok(()),
    }
}

/// The line for `cpu.max`.
fn bandwidth(quota: i64, period: u64) -> String {
    let period = if period == 0 { DEFAULT_PERIOD } else { period };
    if quota > 0 { format!("{quota} {period}") } else { format!("max {period}") }
}

/// Sets the CPUs and memory nodes that `cpu` names.
pub(super) fn limit_sets(directory: &Path, cpu: &LinuxCpu) -> Result<()> {
    for (name, list) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            file::write(directory, name, list)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidth_is_quota_and_period() {
        assert_eq!(bandwidth(50_000, 0), "50000 100000");
        assert_eq!(bandwidth(50_000, 25_000), "50000 25000");
        assert_eq!(bandwidth(-1, 0), "max 100000");
        assert_eq!(bandwidth(0, 25_000), "max 25000");
    }
}
