//! What the v2 controllers have counted, in the terms of v1.

use std::path::Path;

use super::super::controller::Controller;
use super::super::file;
use super::super::hugetlb;
use super::super::processes;
use super::super::stats::{BlkioEntry, Hugetlb, MemoryEntry, Pressure, Stats};
use crate::error::Result;

/// Adds the numbers of `controller`.
pub(super) fn measure(controller: Controller, directory: &Path, stats: &mut Stats) -> Result<()> {
    match controller {
        Controller::Memory => measure_memory(directory, stats),
        Controller::Cpu => measure_cpu(directory, stats),
        Controller::Pids => measure_pids(directory, stats),
        Controller::Io => measure_io(directory, stats),
        Controller::Hugetlb => measure_huge_pages(directory, stats),
        Controller::Cpuacct
        | Controller::Cpuset
        | Controller::NetCls
        | Controller::NetPrio
        | Controller::PerfEvent
        | Controller::Devices
        | Controller::Freezer
        | Controller::Rdma
        | Controller::Misc => Ok(()),
    }
}

/// Adds what a cgroup counts without `controller`: time, tasks, and how long they waited.
pub(super) fn measure_without(
    controller: Controller,
    directory: &Path,
    stats: &mut Stats,
) -> Result<()> {
    match controller {
        Controller::Cpu => measure_cpu(directory, stats)?,
        Controller::Memory => stats.memory.psi = pressure(directory, "memory.pressure")?,
        Controller::Io => stats.blkio.psi = pressure(directory, "io.pressure")?,
        Controller::Pids => stats.pids.current = processes::pids(directory, false)?.len() as u64,
        _ => {}
    }
    Ok(())
}

fn pressure(directory: &Path, name: &str) -> Result<Option<Pressure>> {
    Ok(file::read_if_there(directory, name)?.map(|text| Pressure::parse(&text)))
}

fn measure_memory(directory: &Path, stats: &mut Stats) -> Result<()> {
    let text = file::read(directory, "memory.stat")?;
    let memory = &mut stats.memory;
    memory.raw = file::pairs(&text).map(|(key, value)| (key.to_owned(), value)).collect();
    memory.cache = memory.raw.get("file").copied().unwrap_or(0);
    memory.usage = memory_entry(directory, "memory")?;
    let swap = memory_entry(directory, "memory.swap")?;
    // v1 counts memory and swap together. The peaks of both need not have met, so there is none.
    memory.swap = MemoryEntry {
        limit: swap.limit.saturating_add(if swap.limit == u64::MAX {
            0
        } else {
            memory.usage.limit
        }),
        usage: swap.usage.saturating_add(memory.usage.usage),
        max: 0,
        failcnt: 0,
    };
    memory.psi = pressure(directory, "memory.pressure")?;
    Ok(())
}

/// Memory or swap; a kernel that does not count swap has zeros.
fn memory_entry(directory: &Path, prefix: &str) -> Result<MemoryEntry> {
    let number = |suffix: &str| {
        file::read_number_if_there(directory, &format!("{prefix}.{suffix}"))
            .map(Option::unwrap_or_default)
    };
    Ok(MemoryEntry {
        limit: number("max")?,
        usage: number("current")?,
        max: number("peak")?,
        failcnt: 0,
    })
}

fn measure_cpu(directory: &Path, stats: &mut Stats) -> Result<()> {
    let text = file::read(directory, "cpu.stat")?;
    let cpu = &mut stats.cpu;
    for (key, value) in file::pairs(&text) {
        match key {
            "usage_usec" => cpu.usage.total = value * 1000,
            "user_usec" => cpu.usage.user = value * 1000,
            "system_usec" => cpu.usage.kernel = value * 1000,
            "nr_periods" => cpu.throttling.periods = value,
            "nr_throttled" => cpu.throttling.throttled_periods = value,
            "throttled_usec" => cpu.throttling.throttled_time = value * 1000,
            _ => {}
        }
    }
    cpu.psi = pressure(directory, "cpu.pressure")?;
    Ok(())
}

fn measure_pids(directory: &Path, stats: &mut Stats) -> Result<()> {
    stats.pids.current = file::read_number(directory, "pids.current")?;
    let limit = file::read_number(directory, "pids.max")?;
    stats.pids.limit = if limit == u64::MAX { 0 } else { limit };
    Ok(())
}

fn measure_io(directory: &Path, stats: &mut Stats) -> Result<()> {
    let text = file::read_if_there(directory, "io.stat")?.unwrap_or_default();
    let blkio = &mut stats.blkio;
    for line in text.lines() {
        let Some((major, minor, counters)) = io_line(line) else { continue };
        for (key, value) in counters {
            let (list, op) = match key {
                "rbytes" => (&mut blkio.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut blkio.io_service_bytes_recursive, "Write"),
                "rios" => (&mut blkio.io_serviced_recursive, "Read"),
                "wios" => (&mut blkio.io_serviced_recursive, "Write"),
                _ => continue,
            };
            list.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
    blkio.psi = pressure(directory, "io.pressure")?;
    Ok(())
}

/// Takes `8:0 rbytes=1 wbytes=2` apart.
fn io_line(line: &str) -> Option<(u64, u64, impl Iterator<Item = (&str, u64)>)> {
    let (device, counters) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let counters = counters.split_whitespace().filter_map(|counter| {
        let (key, value) = counter.split_once('=')?;
        Some((key, value.parse().ok()?))
    });
    Some((major.parse().ok()?, minor.parse().ok()?, counters))
}

fn measure_huge_pages(directory: &Path, stats: &mut Stats) -> Result<()> {
    for size in hugetlb::sizes() {
        // Where reservations are counted, they are the number that a limit acts on.
        let reserved =
            file::read_number_if_there(directory, &format!("hugetlb.{size}.rsvd.current"))?;
        let usage = match reserved {
            Some(usage) => usage,
            None => file::read_number(directory, &format!("hugetlb.{size}.current"))?,
        };
        let events = file::read(directory, &format!("hugetlb.{size}.events"))?;
        let failcnt = file::pairs(&events).find_map(|(key, value)| (key == "max").then_some(value));
        let entry = Hugetlb { usage, max: 0, failcnt: failcnt.unwrap_or(0) };
        stats.hugetlb.insert(size, entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_block_devices_are_read() {
        let (major, minor, counters) = io_line("254:0 rbytes=4096 wios=2 odd cost.x=y").unwrap();
        assert_eq!((major, minor), (254, 0));
        assert_eq!(counters.collect::<Vec<_>>(), [("rbytes", 4096), ("wios", 2)]);
        assert!(io_line("254:0").is_none());
    }
}
