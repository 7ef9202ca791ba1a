//! Figures of cgroups of version 1.

use std::collections::BTreeMap;

use tare_proto::containerd::cgroups::v1::{
    BlkIoEntry, BlkIoStat, CpuStat, MemoryStat, Metrics, PidsStat,
};

use super::sample::{BlockIo, BlockIoEntry, Cpu, Figures, Memory, Pids};

/// What `metrics` tell.
pub(super) fn figures(metrics: Metrics) -> Figures {
    Figures {
        cpu: metrics.cpu.map(cpu).unwrap_or_default(),
        memory: metrics.memory.as_ref().map(memory).unwrap_or_default(),
        block_io: metrics.blkio.map(block_io).unwrap_or_default(),
        pids: metrics.pids.map(pids).unwrap_or_default(),
    }
}

fn pids(told: PidsStat) -> Pids {
    Pids { current: told.current, limit: told.limit }
}

fn cpu(told: CpuStat) -> Cpu {
    let usage = told.usage.unwrap_or_default();
    let throttling = told.throttling.unwrap_or_default();
    Cpu {
        total: usage.total,
        by_processor: usage.per_cpu,
        kernel: usage.kernel,
        user: usage.user,
        periods: throttling.periods,
        throttled_periods: throttling.throttled_periods,
        throttled_time: throttling.throttled_time,
    }
}

fn memory(told: &MemoryStat) -> Memory {
    let usage = told.usage.unwrap_or_default();
    Memory {
        usage: usage.usage,
        max_usage: usage.max,
        limit: usage.limit,
        failures: usage.failcnt,
        parts: memory_parts(told),
    }
}

fn memory_parts(told: &MemoryStat) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("cache", told.cache),
        ("rss", told.rss),
        ("rss_huge", told.rss_huge),
        ("mapped_file", told.mapped_file),
        ("dirty", told.dirty),
        ("writeback", told.writeback),
        ("pgpgin", told.pg_pg_in),
        ("pgpgout", told.pg_pg_out),
        ("pgfault", told.pg_fault),
        ("pgmajfault", told.pg_maj_fault),
        ("inactive_anon", told.inactive_anon),
        ("active_anon", told.active_anon),
        ("inactive_file", told.inactive_file),
        ("active_file", told.active_file),
        ("unevictable", told.unevictable),
        ("hierarchical_memory_limit", told.hierarchical_memory_limit),
        ("hierarchical_memsw_limit", told.hierarchical_swap_limit),
        ("total_cache", told.total_cache),
        ("total_rss", told.total_rss),
        ("total_rss_huge", told.total_rss_huge),
        ("total_mapped_file", told.total_mapped_file),
        ("total_dirty", told.total_dirty),
        ("total_writeback", told.total_writeback),
        ("total_pgpgin", told.total_pg_pg_in),
        ("total_pgpgout", told.total_pg_pg_out),
        ("total_pgfault", told.total_pg_fault),
        ("total_pgmajfault", told.total_pg_maj_fault),
        ("total_inactive_anon", told.total_inactive_anon),
        ("total_active_anon", told.total_active_anon),
        ("total_inactive_file", told.total_inactive_file),
        ("total_active_file", told.total_active_file),
        ("total_unevictable", told.total_unevictable),
    ])
}

fn block_io(told: BlkIoStat) -> BlockIo {
    let entry = |entry: BlkIoEntry| BlockIoEntry {
        major: entry.major,
        minor: entry.minor,
        operation: entry.op,
        value: entry.value,
    };
    let entries = |list: Vec<BlkIoEntry>| Some(list.into_iter().map(entry).collect());
    BlockIo {
        service_bytes: entries(told.io_service_bytes_recursive),
        serviced: entries(told.io_serviced_recursive),
        queued: entries(told.io_queued_recursive),
        service_time: entries(told.io_service_time_recursive),
        wait_time: entries(told.io_wait_time_recursive),
        merged: entries(told.io_merged_recursive),
        time: entries(told.io_time_recursive),
        sectors: entries(told.sectors_recursive),
    }
}

#[cfg(test)]
mod tests {
    use tare_proto::containerd::cgroups::v1::{CpuUsage, MemoryEntry, Throttle};

    use super::*;

    #[test]
    fn figures_stand_where_docker_has_them() {
        let usage = CpuUsage { total: 9, kernel: 2, user: 1, per_cpu: vec![4, 5] };
        let throttling = Throttle { periods: 6, throttled_periods: 7, throttled_time: 8 };
        let memory = MemoryStat {
            total_inactive_file: 3,
            hierarchical_swap_limit: 10,
            usage: Some(MemoryEntry { usage: 11, limit: 12, max: 13, failcnt: 14 }),
            ..MemoryStat::default()
        };
        let bytes = BlkIoEntry { op: "Read".to_owned(), major: 8, value: 15, ..Default::default() };
        let figures = figures(Metrics {
            cpu: Some(CpuStat { usage: Some(usage), throttling: Some(throttling) }),
            memory: Some(memory),
            blkio: Some(BlkIoStat {
                io_service_bytes_recursive: vec![bytes],
                ..BlkIoStat::default()
            }),
            ..Metrics::default()
        });
        assert_eq!((figures.cpu.total, &figures.cpu.by_processor[..]), (9, &[4, 5][..]));
        assert_eq!((figures.cpu.periods, figures.cpu.throttled_time), (6, 8));
        let memory = &figures.memory;
        assert_eq!(
            (memory.usage, memory.limit, memory.max_usage, memory.failures),
            (11, 12, 13, 14)
        );
        assert_eq!(memory.parts["total_inactive_file"], 3);
        assert_eq!(memory.parts["hierarchical_memsw_limit"], 10);
        assert_eq!(figures.block_io.service_bytes.unwrap()[0].operation, "Read");
        assert_eq!(figures.block_io.sectors, Some(Vec::new()));
    }
}
