//! Limits in the words of systemd, which keeps them in force from then on.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::super::driver::Stage;
use super::super::{convert, v2};
use super::message::Value;
use crate::error::{Error, Result};

/// No limit.
pub(super) const INFINITY: u64 = u64::MAX;

/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// systemd counts CPU time in whole percents of a CPU.
const PERCENT: u64 = SECOND / 100;

/// The properties that say what `resources` says for the cgroup `directory`. What systemd has no
/// word for is left to the files of the cgroup.
///
/// # Errors
/// Limits that make no sense, or the cgroup's files cannot be read.
pub(super) fn of(
    directory: &Path,
    resources: &LinuxResources,
    stage: Stage,
) -> Result<Vec<(&'static str, Value)>> {
    let mut properties = Vec::new();
    if let Some(memory) = resources.memory() {
        let limits = v2::MemoryLimits::wanted(directory, memory, stage)?;
        for (name, value) in
            [("MemoryMax", limits.max), ("MemoryLow", limits.low), ("MemorySwapMax", limits.swap)]
        {
            if let Some(value) = value {
                properties.push((name, Value::Number(amount("memory", &value)?)));
            }
        }
    }
    if let Some(cpu) = resources.cpu() {
        let weight = convert::cpu_weight(cpu.shares().unwrap_or(0));
        // Weight 0 is how systemd says "idle".
        let weight = if cpu.idle() == Some(1) { Some(0) } else { weight };
        properties.extend(weight.map(|weight| ("CPUWeight", Value::Number(weight))));
        properties.extend(v2::Bandwidth::wanted(directory, cpu)?.into_iter().flat_map(bandwidth));
        for (name, list) in [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())] {
            if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
                properties.push((name, Value::Bytes(bits(list)?)));
            }
        }
    }
    if let Some(pids) = resources.pids() {
        // systemd knows no limit of zero.
        let limit = u64::try_from(pids.limit()).map_or(INFINITY, |limit| limit.max(1));
        properties.push(("TasksMax", Value::Number(limit)));
    }
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort();
    for (file, value) in unified {
        properties.extend(of_file(file, value.trim())?);
    }
    Ok(properties)
}

/// The properties that say what the file `name` of the cgroup is to hold; none where systemd has no
/// word for it.
///
/// # Errors
/// The value is none for this file.
pub(super) fn of_file(name: &str, value: &str) -> Result<Vec<(&'static str, Value)>> {
    let property = match name {
        "memory.min" => "MemoryMin",
        "memory.low" => "MemoryLow",
        "memory.high" => "MemoryHigh",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        // No task at all is more than systemd can deny.
        "pids.max" if value == "0" => return Ok(vec![("TasksMax", Value::Number(1))]),
        "pids.max" => "TasksMax",
        "cpu.weight" => "CPUWeight",
        "cpu.idle" if value == "1" => return Ok(vec![("CPUWeight", Value::Number(0))]),
        "cpu.max" => return Ok(bandwidth(v2::Bandwidth::parse(value)).into()),
        "cpuset.cpus" => return Ok(vec![("AllowedCPUs", Value::Bytes(bits(value)?))]),
        "cpuset.mems" => return Ok(vec![("AllowedMemoryNodes", Value::Bytes(bits(value)?))]),
        _ => return Ok(Vec::new()),
    };
    Ok(vec![(property, Value::Number(amount(name, value)?))])
}

pub(super) fn amount(what: &str, value: &str) -> Result<u64> {
    match value {
        "max" => Ok(INFINITY),
        value => {
            value.parse().map_err(|_| Error::invalid(format!("invalid {what} limit {value:?}")))
        }
    }
}

pub(super) fn bandwidth(bandwidth: v2::Bandwidth) -> [(&'static str, Value); 2] {
    [
        ("CPUQuotaPeriodUSec", Value::Number(bandwidth.period)),
        (
            "CPUQuotaPerSecUSec",
            Value::Number(
                bandwidth.quota.map_or(INFINITY, |quota| per_second(quota, bandwidth.period)),
            ),
        ),
    ]
}

/// A quota as microseconds in each second, rounded up to what systemd can say.
fn per_second(quota: u64, period: u64) -> u64 {
    (quota.saturating_mul(SECOND) / period.max(1)).next_multiple_of(PERCENT)
}

/// The quota that systemd will write to the cgroup if it is asked for `quota`.
pub(super) fn rounded(quota: u64, period: u64) -> u64 {
    per_second(quota, period).saturating_mul(period) / SECOND
}

/// A list such as `0-3,7` as a mask, the lowest byte first.
pub(super) fn bits(list: &str) -> Result<Vec<u8>> {
    let bad = || Error::invalid(format!("invalid list of CPUs or memory nodes {list:?}"));
    let mut mask = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u16 = first.parse().map_err(|_| bad())?;
        let last: u16 = last.parse().map_err(|_| bad())?;
        if first > last {
            return Err(bad());
        }
        for number in first..=last {
            let byte = usize::from(number / 8);
            if mask.len() <= byte {
                mask.resize(byte + 1, 0);
            }
            if let Some(byte) = mask.get_mut(byte) {
                *byte |= 1 << (number % 8);
            }
        }
    }
    if mask.is_empty() { Err(bad()) } else { Ok(mask) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(json: &str) -> Vec<(&'static str, Value)> {
        of(Path::new("/nowhere"), &serde_json::from_str(json).unwrap(), Stage::New).unwrap()
    }

    #[test]
    fn limits_have_their_words() {
        let json = r#"{
            "memory": {"limit": 64, "swap": 100, "reservation": 32},
            "cpu": {"shares": 1024, "quota": 12345, "period": 100000, "cpus": "0-1,9"},
            "pids": {"limit": -1}}"#;
        assert_eq!(
            words(json),
            [
                ("MemoryMax", Value::Number(64)),
                ("MemoryLow", Value::Number(32)),
                ("MemorySwapMax", Value::Number(36)),
                ("CPUWeight", Value::Number(100)),
                ("CPUQuotaPeriodUSec", Value::Number(100_000)),
                ("CPUQuotaPerSecUSec", Value::Number(130_000)),
                ("AllowedCPUs", Value::Bytes(vec![3, 2])),
                ("TasksMax", Value::Number(INFINITY)),
            ]
        );
        assert_eq!(rounded(12345, 100_000), 13_000);
        assert_eq!(words("{}"), []);
    }

    #[test]
    fn files_of_v2_have_their_words_too() {
        let json = r#"{"unified": {
            "memory.high": "20971520", "memory.max": "max", "pids.max": "0", "io.weight": "10",
            "cpu.max": "50000 100000", "cpu.idle": "0", "cpuset.mems": "0"}}"#;
        assert_eq!(
            words(json),
            [
                ("CPUQuotaPeriodUSec", Value::Number(100_000)),
                ("CPUQuotaPerSecUSec", Value::Number(500_000)),
                ("AllowedMemoryNodes", Value::Bytes(vec![1])),
                ("MemoryHigh", Value::Number(20_971_520)),
                ("MemoryMax", Value::Number(INFINITY)),
                ("TasksMax", Value::Number(1)),
            ]
        );
        let bad = serde_json::from_str(r#"{"unified": {"memory.max": "much"}}"#).unwrap();
        of(Path::new("/nowhere"), &bad, Stage::New).unwrap_err();
    }

    #[test]
    fn lists_that_are_none_are_refused() {
        for list in ["x", "3-1", ",", "70000", "1-"] {
            bits(list).unwrap_err();
        }
    }
}
