//! What a container has used: the numbers of `events --stats`, in the shape that runc gives them.

use std::collections::BTreeMap;

use serde::Serialize;

/// Numbers that are zero are left out where runc leaves them out.
fn zero(value: &u64) -> bool {
    *value == 0
}

fn default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// All that the controllers of a container have counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Stats {
    /// CPU time.
    pub(crate) cpu: Cpu,
    /// CPUs and memory nodes.
    pub(crate) cpuset: Cpuset,
    /// Memory and swap.
    pub(crate) memory: Memory,
    /// Tasks.
    pub(crate) pids: Pids,
    /// Block devices.
    pub(crate) blkio: Blkio,
    /// Huge pages by size.
    pub(crate) hugetlb: BTreeMap<String, Hugetlb>,
    /// Cache and memory bandwidth: always empty, for containers are put into no resource group.
    pub(crate) intel_rdt: Empty,
    /// Always absent, as in runc without a network of its own.
    pub(crate) network_interfaces: Option<Empty>,
}

/// An object without fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Empty {}

/// CPU time, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Cpu {
    #[serde(skip_serializing_if = "default")]
    pub(crate) usage: CpuUsage,
    #[serde(skip_serializing_if = "default")]
    pub(crate) throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psi: Option<Pressure>,
}

/// CPU time by mode and by CPU, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct CpuUsage {
    #[serde(skip_serializing_if = "zero")]
    pub(crate) total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) percpu_user: Vec<u64>,
    pub(crate) kernel: u64,
    pub(crate) user: u64,
}

/// How often and how long the quota stopped the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Throttling {
    #[serde(skip_serializing_if = "zero")]
    pub(crate) periods: u64,
    #[serde(skip_serializing_if = "zero")]
    pub(crate) throttled_periods: u64,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "zero")]
    pub(crate) throttled_time: u64,
}

/// CPUs and memory nodes, and how they are kept apart (v1 only).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cpus: Vec<u16>,
    pub(crate) cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mems: Vec<u16>,
    pub(crate) mem_hardwall: u64,
    pub(crate) mem_exclusive: u64,
    pub(crate) memory_migrate: u64,
    pub(crate) memory_spread_page: u64,
    pub(crate) memory_spread_slab: u64,
    pub(crate) memory_pressure: u64,
    pub(crate) sched_load_balance: u64,
    pub(crate) sched_relax_domain_level: i64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Memory {
    #[serde(skip_serializing_if = "zero")]
    pub(crate) cache: u64,
    #[serde(skip_serializing_if = "default")]
    pub(crate) usage: MemoryEntry,
    /// Memory and swap together.
    #[serde(skip_serializing_if = "default")]
    pub(crate) swap: MemoryEntry,
    #[serde(skip_serializing_if = "default")]
    pub(crate) kernel: MemoryEntry,
    #[serde(rename = "kernelTCP", skip_serializing_if = "default")]
    pub(crate) kernel_tcp: MemoryEntry,
    /// The kernel's `memory.stat`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psi: Option<Pressure>,
}

/// One kind of memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct MemoryEntry {
    pub(crate) limit: u64,
    #[serde(skip_serializing_if = "zero")]
    pub(crate) usage: u64,
    #[serde(skip_serializing_if = "zero")]
    pub(crate) max: u64,
    pub(crate) failcnt: u64,
}

/// Tasks; no limit reads as zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Pids {
    #[serde(skip_serializing_if = "zero")]
    pub(crate) current: u64,
    #[serde(skip_serializing_if = "zero")]
    pub(crate) limit: u64,
}

/// Block devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_queued_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_service_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_wait_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_merged_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sectors_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psi: Option<Pressure>,
}

/// One number about one block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct BlkioEntry {
    #[serde(skip_serializing_if = "zero")]
    pub(crate) major: u64,
    #[serde(skip_serializing_if = "zero")]
    pub(crate) minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) op: String,
    #[serde(skip_serializing_if = "zero")]
    pub(crate) value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Hugetlb {
    #[serde(skip_serializing_if = "zero")]
    pub(crate) usage: u64,
    #[serde(skip_serializing_if = "zero")]
    pub(crate) max: u64,
    pub(crate) failcnt: u64,
}

/// How long tasks waited for a resource (pressure stall information).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Pressure {
    pub(crate) some: PressureLine,
    pub(crate) full: PressureLine,
}

/// Share of time in percent, and the total in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct PressureLine {
    pub(crate) avg10: f64,
    pub(crate) avg60: f64,
    pub(crate) avg300: f64,
    pub(crate) total: u64,
}

impl Pressure {
    /// Parses a pressure file: a line `some` and, but for older kernels' CPU, a line `full`.
    pub(super) fn parse(text: &str) -> Pressure {
        let mut pressure = Pressure::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("some", rest)) => pressure.some = PressureLine::parse(rest),
                Some(("full", rest)) => pressure.full = PressureLine::parse(rest),
                _ => {}
            }
        }
        pressure
    }
}

impl PressureLine {
    fn parse(text: &str) -> PressureLine {
        let mut line = PressureLine::default();
        for (key, value) in text.split_whitespace().filter_map(|field| field.split_once('=')) {
            match key {
                "avg10" => line.avg10 = value.parse().unwrap_or_default(),
                "avg60" => line.avg60 = value.parse().unwrap_or_default(),
                "avg300" => line.avg300 = value.parse().unwrap_or_default(),
                "total" => line.total = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        line
    }
}

/// The numbers in a list of the form `0-3,7`.
pub(super) fn expand_list(text: &str) -> Vec<u16> {
    let mut numbers = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) {
            numbers.extend(first..=last);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_names_of_runc() {
        let mut stats = Stats::default();
        stats.memory.usage = MemoryEntry { limit: 9, usage: 4, max: 0, failcnt: 0 };
        stats.pids.current = 2;
        stats.blkio.io_queued_recursive =
            vec![BlkioEntry { major: 8, op: "Read".to_owned(), ..BlkioEntry::default() }];
        let json = serde_json::to_value(&stats).unwrap();
        assert_eq!(
            json["memory"],
            serde_json::json!({"usage": {"limit": 9, "usage": 4, "failcnt": 0}})
        );
        assert_eq!(json["pids"], serde_json::json!({"current": 2}));
        assert_eq!(
            json["blkio"],
            serde_json::json!({"ioQueueRecursive": [{"major": 8, "op": "Read"}]})
        );
        assert_eq!(json["cpu"], serde_json::json!({}));
        assert_eq!(json["intel_rdt"], serde_json::json!({}));
        assert_eq!(json["network_interfaces"], serde_json::Value::Null);
        assert_eq!(json["cpuset"]["sched_relax_domain_level"], 0);
    }

    #[test]
    fn pressure_files_are_read() {
        let text = "some avg10=1.50 avg60=0.25 avg300=0.00 total=12345\n\
                    full avg10=0.00 avg60=0.10 avg300=0.00 total=99";
        let pressure = Pressure::parse(text);
        assert!((pressure.some.avg10 - 1.5).abs() < f64::EPSILON);
        assert_eq!(pressure.some.total, 12345);
        assert_eq!(pressure.full.total, 99);
        assert_eq!(Pressure::parse("nonsense\nsome x"), Pressure::default());
    }

    #[test]
    fn lists_are_expanded() {
        assert_eq!(expand_list("0-3,7"), [0, 1, 2, 3, 7]);
        assert_eq!(expand_list(""), Vec::<u16>::new());
        assert_eq!(expand_list("5"), [5]);
        assert_eq!(expand_list("3-1,x,2"), [2]);
    }
}
