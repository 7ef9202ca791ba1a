//! Limits that leave nothing open.
//!
//! Half a request, such as a quota without its period, means "and the other half as it is". systemd
//! writes to the same files that say what it is, so that is looked up once, before systemd is told.

use std::path::Path;

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

use super::super::driver::Stage;
use super::super::v2;
use super::properties;
use crate::error::Result;

/// `resources` with both halves of what has two, for the v2 cgroup `directory`, and with the quota
/// that systemd rounds to: with another one in the file, the limit would depend on who wrote last.
///
/// # Errors
/// Limits that contradict each other, or a file that cannot be read.
pub(super) fn settle(
    directory: &Path,
    resources: &LinuxResources,
    stage: Stage,
) -> Result<LinuxResources> {
    let mut settled = resources.clone();
    if let Some(cpu) = settled.cpu_mut() {
        settle_bandwidth(directory, cpu)?;
    }
    if let Some(memory) = settled.memory_mut() {
        settle_swap(directory, memory, stage)?;
    }
    Ok(settled)
}

fn settle_bandwidth(directory: &Path, cpu: &mut LinuxCpu) -> Result<()> {
    let Some(bandwidth) = v2::Bandwidth::wanted(directory, cpu)? else { return Ok(()) };
    let quota = bandwidth.quota.map(|quota| properties::rounded(quota, bandwidth.period));
    cpu.set_quota(Some(quota.and_then(|quota| i64::try_from(quota).ok()).unwrap_or(-1)));
    cpu.set_period(Some(bandwidth.period));
    Ok(())
}

fn settle_swap(directory: &Path, memory: &mut LinuxMemory, stage: Stage) -> Result<()> {
    let limits = v2::MemoryLimits::wanted(directory, memory, stage)?;
    let both = match limits.swap.as_deref() {
        None => return Ok(()),
        Some("max") => Some(-1),
        Some(swap) => match memory.limit().filter(|limit| *limit != 0) {
            // With unlimited memory, swap is counted alone.
            Some(-1) => swap.parse().ok(),
            Some(limit) => swap.parse::<i64>().ok().and_then(|swap| limit.checked_add(swap)),
            // Only swap changes, and so what both may use is given.
            None => memory.swap(),
        },
    };
    memory.set_swap(both);
    if memory.limit().is_none_or(|limit| limit == 0) && both.is_some_and(|both| both > 0) {
        let swap = limits.swap.and_then(|swap| swap.parse::<i64>().ok());
        memory.set_limit(both.zip(swap).and_then(|(both, swap)| both.checked_sub(swap)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(json: &str) -> LinuxResources {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in
            [("cpu.max", "20000 50000"), ("memory.max", "640"), ("memory.swap.max", "360")]
        {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let resources = serde_json::from_str(json).unwrap();
        let once = settle(directory.path(), &resources, Stage::Running).unwrap();
        // What systemd has written meanwhile makes no difference.
        for (name, text) in
            [("cpu.max", "max 100000"), ("memory.max", "max"), ("memory.swap.max", "max")]
        {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        assert_eq!(settle(directory.path(), &once, Stage::Running).unwrap(), once, "{json}");
        once
    }

    #[test]
    fn half_a_bandwidth_gets_the_other_half() {
        let cpu = |json: &str| {
            let resources = settled(&format!(r#"{{"cpu": {json}}}"#));
            let cpu = resources.cpu().as_ref().unwrap();
            (cpu.quota(), cpu.period())
        };
        assert_eq!(cpu(r#"{"quota": 30000}"#), (Some(30_000), Some(50_000)));
        assert_eq!(cpu(r#"{"quota": 30001}"#), (Some(30_500), Some(50_000)));
        assert_eq!(cpu(r#"{"period": 100000}"#), (Some(20_000), Some(100_000)));
        assert_eq!(cpu(r#"{"quota": -1}"#), (Some(-1), Some(50_000)));
        assert_eq!(cpu(r#"{"shares": 5}"#), (None, None));
    }

    #[test]
    fn memory_and_swap_are_both_named() {
        let memory = |json: &str| {
            let resources = settled(&format!(r#"{{"memory": {json}}}"#));
            let memory = resources.memory().unwrap();
            (memory.limit(), memory.swap())
        };
        assert_eq!(memory(r#"{"limit": 700}"#), (Some(700), Some(1000)));
        assert_eq!(memory(r#"{"swap": 900}"#), (Some(640), Some(900)));
        assert_eq!(memory(r#"{"limit": 100, "swap": 300}"#), (Some(100), Some(300)));
        assert_eq!(memory(r#"{"limit": -1}"#), (Some(-1), Some(-1)));
        assert_eq!(memory(r#"{"reservation": 5}"#), (None, None));
    }
}
