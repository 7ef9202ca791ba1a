//! Figures of cgroups of version 2.

use std::collections::BTreeMap;

use tare_proto::containerd::cgroups::v2::{CpuStat, IoEntry, MemoryStat, Metrics, PidsStat};

use super::sample::{BlockIo, BlockIoEntry, Cpu, Figures, Memory, Pids};

/// What `metrics` tell.
pub(super) fn figures(metrics: Metrics) -> Figures {
    // How often the killer was called for, as docker has it.
    let failures = metrics.memory_events.map(|events| events.oom).unwrap_or_default();
    let memory = metrics.memory.as_ref().map(|told| memory(told, failures));
    Figures {
        cpu: metrics.cpu.map(|told| cpu(&told)).unwrap_or_default(),
        memory: memory.unwrap_or_default(),
        block_io: metrics.io.map(|told| block_io(&told.usage)).unwrap_or_default(),
        pids: metrics.pids.map(pids).unwrap_or_default(),
    }
}

fn pids(told: PidsStat) -> Pids {
    Pids { current: told.current, limit: told.limit }
}

/// The kernel tells microseconds here.
fn cpu(told: &CpuStat) -> Cpu {
    let nanoseconds = |microseconds: u64| microseconds.saturating_mul(1000);
    Cpu {
        total: nanoseconds(told.usage_usec),
        by_processor: Vec::new(),
        kernel: nanoseconds(told.system_usec),
        user: nanoseconds(told.user_usec),
        periods: told.nr_periods,
        throttled_periods: told.nr_throttled,
        throttled_time: nanoseconds(told.throttled_usec),
    }
}

fn memory(told: &MemoryStat, failures: u64) -> Memory {
    Memory {
        usage: told.usage,
        // Older kernels don't keep it, and docker doesn't show it.
        max_usage: 0,
        limit: told.usage_limit,
        failures,
        parts: memory_parts(told),
    }
}

fn memory_parts(told: &MemoryStat) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("anon", told.anon),
        ("file", told.file),
        ("kernel_stack", told.kernel_stack),
        ("slab", told.slab),
        ("sock", told.sock),
        ("shmem", told.shmem),
        ("file_mapped", told.file_mapped),
        ("file_dirty", told.file_dirty),
        ("file_writeback", told.file_writeback),
        ("anon_thp", told.anon_thp),
        ("inactive_anon", told.inactive_anon),
        ("active_anon", told.active_anon),
        ("inactive_file", told.inactive_file),
        ("active_file", told.active_file),
        ("unevictable", told.unevictable),
        ("slab_reclaimable", told.slab_reclaimable),
        ("slab_unreclaimable", told.slab_unreclaimable),
        ("pgfault", told.pgfault),
        ("pgmajfault", told.pgmajfault),
        ("workingset_refault", told.workingset_refault),
        ("workingset_activate", told.workingset_activate),
        ("workingset_nodereclaim", told.workingset_nodereclaim),
        ("pgrefill", told.pgrefill),
        ("pgscan", told.pgscan),
        ("pgsteal", told.pgsteal),
        ("pgactivate", told.pgactivate),
        ("pgdeactivate", told.pgdeactivate),
        ("pglazyfree", told.pglazyfree),
        ("pglazyfreed", told.pglazyfreed),
        ("thp_fault_alloc", told.thp_fault_alloc),
        ("thp_collapse_alloc", told.thp_collapse_alloc),
    ])
}

/// Bytes are all that is told here.
fn block_io(devices: &[IoEntry]) -> BlockIo {
    let entry = |device: &IoEntry, operation: &str, value| BlockIoEntry {
        major: device.major,
        minor: device.minor,
        operation: operation.to_owned(),
        value,
    };
    let both = |device: &IoEntry| {
        [entry(device, "read", device.rbytes), entry(device, "write", device.wbytes)]
    };
    let service_bytes: Vec<_> = devices.iter().flat_map(both).collect();
    let service_bytes = (!service_bytes.is_empty()).then_some(service_bytes);
    BlockIo { service_bytes, ..BlockIo::default() }
}

#[cfg(test)]
mod tests {
    use tare_proto::containerd::cgroups::v2::{IoStat, MemoryEvents};

    use super::*;

    #[test]
    fn figures_stand_where_docker_has_them() {
        let cpu = CpuStat { usage_usec: 2, system_usec: 1, nr_throttled: 5, ..CpuStat::default() };
        let memory =
            MemoryStat { usage: 3, usage_limit: 4, inactive_file: 6, ..MemoryStat::default() };
        let device = IoEntry { major: 8, minor: 1, rbytes: 7, wbytes: 8, ..IoEntry::default() };
        let figures = figures(Metrics {
            cpu: Some(cpu),
            memory: Some(memory),
            memory_events: Some(MemoryEvents { oom: 9, ..MemoryEvents::default() }),
            io: Some(IoStat { usage: vec![device], psi: None }),
            ..Metrics::default()
        });
        assert_eq!((figures.cpu.total, figures.cpu.kernel), (2000, 1000));
        assert_eq!(figures.cpu.throttled_periods, 5);
        assert_eq!(
            (figures.memory.usage, figures.memory.limit, figures.memory.failures),
            (3, 4, 9)
        );
        assert_eq!(figures.memory.parts["inactive_file"], 6);
        let bytes = figures.block_io.service_bytes.unwrap();
        let told: Vec<_> =
            bytes.iter().map(|entry| (entry.operation.as_str(), entry.value)).collect();
        assert_eq!(told, [("read", 7), ("write", 8)]);
        assert_eq!(figures.block_io.serviced, None);
    }
}
