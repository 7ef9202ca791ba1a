//! Limits in the words of systemd, which keeps them in force from then on.

use oci_spec::runtime::LinuxResources;

use super::super::convert;
use super::message::Value;
use crate::error::{Error, Result};

/// No limit.
const INFINITY: u64 = u64::MAX;

/// Microseconds in the kernel's own period, and in a second.
const DEFAULT_PERIOD: u64 = 100_000;
const SECOND: u64 = 1_000_000;

/// systemd counts CPU time in whole percents of a CPU.
const PERCENT: u64 = SECOND / 100;

/// The properties that say what `resources` says. What systemd has no word for is left to the
/// files of the cgroup.
pub(super) fn of(resources: &LinuxResources) -> Result<Vec<(&'static str, Value)>> {
    let mut properties = Vec::new();
    if let Some(memory) = resources.memory() {
        let limit = memory.limit().unwrap_or(0);
        let swap = convert::swap_limit(memory.swap().unwrap_or(0), limit)?;
        for (name, value) in [
            ("MemoryMax", convert::limit(limit)),
            ("MemoryLow", convert::limit(memory.reservation().unwrap_or(0))),
            ("MemorySwapMax", swap),
        ] {
            if let Some(value) = value {
                properties.push((name, Value::Number(bytes(&value)?)));
            }
        }
    }
    if let Some(cpu) = resources.cpu() {
        let weight = convert::cpu_weight(cpu.shares().unwrap_or(0));
        // Weight 0 is how systemd says "idle".
        let weight = if cpu.idle() == Some(1) { Some(0) } else { weight };
        properties.extend(weight.map(|weight| ("CPUWeight", Value::Number(weight))));
        properties.extend(quota(cpu.quota().unwrap_or(0), cpu.period().unwrap_or(0)));
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
    Ok(properties)
}

fn bytes(value: &str) -> Result<u64> {
    match value {
        "max" => Ok(INFINITY),
        value => value.parse().map_err(|_| Error::invalid(format!("invalid memory limit {value}"))),
    }
}

/// Bandwidth, rounded up to what systemd can say.
fn quota(quota: i64, period: u64) -> Vec<(&'static str, Value)> {
    if quota == 0 && period == 0 {
        return Vec::new();
    }
    let mut properties = Vec::new();
    if period != 0 {
        properties.push(("CPUQuotaPeriodUSec", Value::Number(period)));
    }
    let period = if period == 0 { DEFAULT_PERIOD } else { period };
    let per_second = match u64::try_from(quota) {
        Ok(quota) if quota > 0 => (quota.saturating_mul(SECOND) / period).next_multiple_of(PERCENT),
        _ => INFINITY,
    };
    properties.push(("CPUQuotaPerSecUSec", Value::Number(per_second)));
    properties
}

/// A list such as `0-3,7` as a mask, the lowest byte first.
fn bits(list: &str) -> Result<Vec<u8>> {
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

    #[test]
    fn limits_have_their_words() {
        let json = r#"{
            "memory": {"limit": 64, "swap": 100, "reservation": 32},
            "cpu": {"shares": 1024, "quota": 12345, "period": 100000, "cpus": "0-1,9"},
            "pids": {"limit": -1}}"#;
        assert_eq!(
            of(&serde_json::from_str(json).unwrap()).unwrap(),
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
        assert_eq!(of(&LinuxResources::default()).unwrap(), []);
    }

    #[test]
    fn lists_that_are_none_are_refused() {
        for list in ["x", "3-1", ",", "70000", "1-"] {
            bits(list).unwrap_err();
        }
    }
}
