//! The v2 cpu and cpuset controllers.

use std::fmt;
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
    let bandwidth = Bandwidth::wanted(directory, cpu)?;
    let mut burst = cpu.burst().map(|burst| burst.to_string());
    if let Some(value) = &burst {
        match file::try_write(directory, "cpu.max.burst", value) {
            Ok(()) => burst = None,
            Err(Errno::INVAL) if bandwidth.is_some() => {}
            Err(errno) => return Err(file::refused(directory, "cpu.max.burst", value, errno)),
        }
    }
    if let Some(bandwidth) = bandwidth {
        file::write(directory, "cpu.max", &bandwidth.to_string())?;
    }
    match burst {
        Some(value) => file::write(directory, "cpu.max.burst", &value),
        None => Ok(()),
    }
}

/// CPU time that may be used in each period, in microseconds: one file for what v1 has two for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Bandwidth {
    /// None is no limit.
    pub(in super::super) quota: Option<u64>,
    pub(in super::super) period: u64,
}

impl Bandwidth {
    /// What `cpu` asks for, if anything; the half that it leaves out stays as it is.
    ///
    /// # Errors
    /// The cgroup's file cannot be read.
    pub(in super::super) fn wanted(directory: &Path, cpu: &LinuxCpu) -> Result<Option<Bandwidth>> {
        let quota = cpu.quota().filter(|quota| *quota != 0);
        let period = cpu.period().filter(|period| *period != 0);
        let present = match (quota, period) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => Bandwidth { quota: None, period: DEFAULT_PERIOD },
            (None, Some(_)) | (Some(_), None) => {
                Bandwidth::parse(&file::read(directory, "cpu.max")?)
            }
        };
        Ok(Some(Bandwidth {
            // A negative quota is none.
            quota: quota.map_or(present.quota, |quota| u64::try_from(quota).ok()),
            period: period.unwrap_or(present.period),
        }))
    }

    /// Reads `cpu.max`: `max 100000` or `50000 100000`.
    pub(in super::super) fn parse(text: &str) -> Bandwidth {
        let (quota, period) = text.split_once(' ').unwrap_or((text, ""));
        Bandwidth { quota: quota.parse().ok(), period: period.parse().unwrap_or(DEFAULT_PERIOD) }
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quota {
            Some(quota) => write!(f, "{quota} {}", self.period),
            None => write!(f, "max {}", self.period),
        }
    }
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

    fn wanted(present: &str, json: &str) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("cpu.max"), present).unwrap();
        let cpu: LinuxCpu = serde_json::from_str(json).unwrap();
        Bandwidth::wanted(directory.path(), &cpu).unwrap().map(|wanted| wanted.to_string())
    }

    #[test]
    fn quota_and_period_are_changed_together_or_one_by_one() {
        for (present, json, expected) in [
            ("max 100000\n", "{}", None),
            ("max 100000\n", r#"{"quota": 50000}"#, Some("50000 100000")),
            ("max 100000\n", r#"{"period": 25000}"#, Some("max 25000")),
            ("20000 50000\n", r#"{"quota": 30000}"#, Some("30000 50000")),
            ("20000 50000\n", r#"{"period": 40000}"#, Some("20000 40000")),
            ("20000 50000\n", r#"{"quota": -1}"#, Some("max 50000")),
            ("20000 50000\n", r#"{"quota": 7000, "period": 9000}"#, Some("7000 9000")),
            ("20000 50000\n", r#"{"quota": 0, "period": 0}"#, None),
        ] {
            assert_eq!(wanted(present, json).as_deref(), expected, "{present} {json}");
        }
    }
}
