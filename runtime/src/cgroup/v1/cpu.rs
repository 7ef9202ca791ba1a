//! The v1 cpu controller.

use std::path::Path;

use oci_spec::runtime::LinuxCpu;
use rustix::io::Errno;

use super::super::file;
use crate::error::{Error, Result};

/// What the kernel silently brings shares into.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// Sets the limits that `cpu` names; zero leaves a limit as it is.
pub(super) fn limit(directory: &Path, cpu: &LinuxCpu) -> Result<()> {
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        limit_shares(directory, shares)?;
    }
    limit_bandwidth(directory, cpu)?;
    if let Some(idle) = cpu.idle() {
        file::write(directory, "cpu.idle", &idle.to_string())?;
    }
    limit_realtime(directory, cpu)
}

fn limit_shares(directory: &Path, shares: u64) -> Result<()> {
    if shares < *SHARES.start() {
        let least = SHARES.start();
        return Err(Error::invalid(format!("the minimum allowed cpu-shares is {least}")));
    }
    if shares > *SHARES.end() {
        let most = SHARES.end();
        return Err(Error::invalid(format!("the maximum allowed cpu-shares is {most}")));
    }
    file::write(directory, "cpu.shares", &shares.to_string())
}

/// Period, burst and quota. The kernel checks each new value against the others, so a value that
/// it refuses now is tried again after the quota, if there is one to come.
fn limit_bandwidth(directory: &Path, cpu: &LinuxCpu) -> Result<()> {
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    let mut later = Vec::new();
    for (name, value) in [("cpu.cfs_period_us", period), ("cpu.cfs_burst_us", cpu.burst())] {
        let Some(value) = value else { continue };
        write_or_postpone(directory, name, value, quota.is_some(), &mut later)?;
    }
    if let Some(quota) = quota {
        file::write(directory, "cpu.cfs_quota_us", &quota.to_string())?;
    }
    for (name, value) in later {
        file::write(directory, name, &value.to_string())?;
    }
    Ok(())
}

/// Realtime period and runtime, which depend on each other in the same way.
fn limit_realtime(directory: &Path, cpu: &LinuxCpu) -> Result<()> {
    let runtime = cpu.realtime_runtime().filter(|runtime| *runtime != 0);
    let mut later = Vec::new();
    if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
        let name = "cpu.rt_period_us";
        write_or_postpone(directory, name, period, runtime.is_some(), &mut later)?;
    }
    if let Some(runtime) = runtime {
        file::write(directory, "cpu.rt_runtime_us", &runtime.to_string())?;
    }
    for (name, value) in later {
        file::write(directory, name, &value.to_string())?;
    }
    Ok(())
}

fn write_or_postpone(
    directory: &Path,
    name: &'static str,
    value: u64,
    more_to_come: bool,
    later: &mut Vec<(&'static str, u64)>,
) -> Result<()> {
    match file::try_write(directory, name, &value.to_string()) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL) if more_to_come => {
            later.push((name, value));
            Ok(())
        }
        Err(errno) => Err(file::refused(directory, name, &value.to_string(), errno)),
    }
}
