//! What the v1 controllers have counted.

use std::path::Path;

use super::super::controller::Controller;
use super::super::file;
use super::super::hugetlb;
use super::super::stats::{BlkioEntry, Hugetlb, MemoryEntry, Stats, expand_list};
use crate::error::Result;

/// `cpuacct.stat` counts in ticks of USER_HZ, which is 100 on all that Linux runs on today.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Adds the numbers of `controller`.
pub(super) fn measure(controller: Controller, directory: &Path, stats: &mut Stats) -> Result<()> {
    match controller {
        Controller::Memory => measure_memory(directory, stats),
        Controller::Cpu => measure_throttling(directory, stats),
        Controller::Cpuacct => measure_cpu(directory, stats),
        Controller::Cpuset => measure_cpuset(directory, stats),
        Controller::Pids => measure_pids(directory, stats),
        Controller::Io => measure_io(directory, stats),
        Controller::Hugetlb => measure_huge_pages(directory, stats),
        Controller::NetCls
        | Controller::NetPrio
        | Controller::PerfEvent
        | Controller::Devices
        | Controller::Freezer
        | Controller::Rdma
        | Controller::Misc => Ok(()),
    }
}

fn measure_memory(directory: &Path, stats: &mut Stats) -> Result<()> {
    let text = file::read(directory, "memory.stat")?;
    let memory = &mut stats.memory;
    memory.raw = file::pairs(&text).map(|(key, value)| (key.to_owned(), value)).collect();
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
    memory.usage = memory_entry(directory, "memory")?;
    memory.swap = memory_entry(directory, "memory.memsw")?;
    memory.kernel = memory_entry(directory, "memory.kmem")?;
    memory.kernel_tcp = memory_entry(directory, "memory.kmem.tcp")?;
    Ok(())
}

/// One kind of memory; a kind that this kernel does not count is all zero.
fn memory_entry(directory: &Path, prefix: &str) -> Result<MemoryEntry> {
    let number = |suffix: &str| {
        file::read_number_if_there(directory, &format!("{prefix}.{suffix}"))
            .map(Option::unwrap_or_default)
    };
    Ok(MemoryEntry {
        limit: number("limit_in_bytes")?,
        usage: number("usage_in_bytes")?,
        max: number("max_usage_in_bytes")?,
        failcnt: number("failcnt")?,
    })
}

fn measure_throttling(directory: &Path, stats: &mut Stats) -> Result<()> {
    let text = file::read(directory, "cpu.stat")?;
    let throttling = &mut stats.cpu.throttling;
    for (key, value) in file::pairs(&text) {
        match key {
            "nr_periods" => throttling.periods = value,
            "nr_throttled" => throttling.throttled_periods = value,
            "throttled_time" => throttling.throttled_time = value,
            _ => {}
        }
    }
    Ok(())
}

fn measure_cpu(directory: &Path, stats: &mut Stats) -> Result<()> {
    let usage = &mut stats.cpu.usage;
    usage.total = file::read_number(directory, "cpuacct.usage")?;
    for (key, ticks) in file::pairs(&file::read(directory, "cpuacct.stat")?) {
        match key {
            "user" => usage.user = ticks * NANOSECONDS_PER_TICK,
            "system" => usage.kernel = ticks * NANOSECONDS_PER_TICK,
            _ => {}
        }
    }
    let by_cpu = file::read(directory, "cpuacct.usage_percpu")?;
    usage.percpu = by_cpu.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // A header, then one line "CPU user system" for each CPU.
    if let Some(by_mode) = file::read_if_there(directory, "cpuacct.usage_all")? {
        for line in by_mode.lines().skip(1) {
            let mut words = line.split(' ').skip(1).filter_map(|word| word.parse().ok());
            if let (Some(user), Some(kernel)) = (words.next(), words.next()) {
                usage.percpu_user.push(user);
                usage.percpu_kernel.push(kernel);
            }
        }
    }
    Ok(())
}

fn measure_cpuset(directory: &Path, stats: &mut Stats) -> Result<()> {
    let number = |name: &str| {
        file::read_number_if_there(directory, &format!("cpuset.{name}"))
            .map(Option::unwrap_or_default)
    };
    let cpuset = &mut stats.cpuset;
    cpuset.cpus = expand_list(&file::read(directory, "cpuset.cpus")?);
    cpuset.mems = expand_list(&file::read(directory, "cpuset.mems")?);
    cpuset.cpu_exclusive = number("cpu_exclusive")?;
    cpuset.mem_exclusive = number("mem_exclusive")?;
    cpuset.mem_hardwall = number("mem_hardwall")?;
    cpuset.memory_migrate = number("memory_migrate")?;
    cpuset.memory_spread_page = number("memory_spread_page")?;
    cpuset.memory_spread_slab = number("memory_spread_slab")?;
    cpuset.memory_pressure = number("memory_pressure")?;
    cpuset.sched_load_balance = number("sched_load_balance")?;
    let level = file::read_if_there(directory, "cpuset.sched_relax_domain_level")?;
    cpuset.sched_relax_domain_level = level.and_then(|text| text.parse().ok()).unwrap_or_default();
    Ok(())
}

fn measure_pids(directory: &Path, stats: &mut Stats) -> Result<()> {
    stats.pids.current = file::read_number(directory, "pids.current")?;
    let limit = file::read_number(directory, "pids.max")?;
    stats.pids.limit = if limit == u64::MAX { 0 } else { limit };
    Ok(())
}

/// Block I/O is counted by the scheduler if it is BFQ or CFQ, and by the throttling layer always.
fn measure_io(directory: &Path, stats: &mut Stats) -> Result<()> {
    let blkio = &mut stats.blkio;
    for prefix in ["blkio.bfq", "blkio", "blkio.throttle"] {
        let serviced = io_entries(directory, &format!("{prefix}.io_serviced_recursive"))?;
        if serviced.is_empty() {
            continue;
        }
        let list = |name: &str| io_entries(directory, &format!("{prefix}.{name}_recursive"));
        blkio.io_serviced_recursive = serviced;
        blkio.io_service_bytes_recursive = list("io_service_bytes")?;
        blkio.io_queued_recursive = list("io_queued")?;
        blkio.io_service_time_recursive = list("io_service_time")?;
        blkio.io_wait_time_recursive = list("io_wait_time")?;
        blkio.io_merged_recursive = list("io_merged")?;
        blkio.io_time_recursive = list("time")?;
        blkio.sectors_recursive = list("sectors")?;
        break;
    }
    Ok(())
}

/// The lines `8:0 Read 17` or `8:0 17`; the sum over all devices has no number and is left out.
fn io_entries(directory: &Path, name: &str) -> Result<Vec<BlkioEntry>> {
    let text = file::read_if_there(directory, name)?.unwrap_or_default();
    Ok(text.lines().filter_map(io_entry).collect())
}

fn io_entry(line: &str) -> Option<BlkioEntry> {
    let (device, rest) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let (op, value) = rest.rsplit_once(' ').unwrap_or(("", rest));
    Some(BlkioEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

fn measure_huge_pages(directory: &Path, stats: &mut Stats) -> Result<()> {
    for size in hugetlb::sizes() {
        // Where reservations are counted, they are the number that a limit acts on.
        let reserved = format!("hugetlb.{size}.rsvd");
        let plain = format!("hugetlb.{size}");
        let counted = file::read_number_if_there(directory, &format!("{reserved}.usage_in_bytes"))?;
        let (prefix, usage) = match counted {
            Some(usage) => (reserved, usage),
            None => {
                let usage = file::read_number(directory, &format!("{plain}.usage_in_bytes"))?;
                (plain, usage)
            }
        };
        let max = file::read_number(directory, &format!("{prefix}.max_usage_in_bytes"))?;
        let failcnt = file::read_number(directory, &format!("{prefix}.failcnt"))?;
        stats.hugetlb.insert(size, Hugetlb { usage, max, failcnt });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_block_devices_are_read() {
        let entry = io_entry("8:16 Read 4096").unwrap();
        assert_eq!(
            (entry.major, entry.minor, entry.op.as_str(), entry.value),
            (8, 16, "Read", 4096)
        );
        let entry = io_entry("8:0 77").unwrap();
        assert_eq!((entry.op.as_str(), entry.value), ("", 77));
        assert_eq!(io_entry("Total 99"), None);
        assert_eq!(io_entry("8:0"), None);
    }
}
