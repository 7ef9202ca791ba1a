//! A container's figures as docker writes them.

use std::collections::BTreeMap;

use serde::Serialize;
use tare_core::container::{
    BlockIo, BlockIoEntry, Container, Cpu, Memory, Pids, Processors, Sample, Traffic,
};

use crate::time::{NEVER, rfc3339};
use crate::wire::Empty;

/// One sample beside the one before it.
#[derive(Serialize)]
pub(super) struct Stats {
    name: String,
    id: String,
    read: String,
    preread: String,
    pids_stats: PidsView,
    blkio_stats: BlockIoView,
    /// Of Windows alone.
    num_procs: u32,
    /// Of Windows alone.
    storage_stats: Empty,
    cpu_stats: CpuView,
    precpu_stats: CpuView,
    memory_stats: MemoryView,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    networks: BTreeMap<String, TrafficView>,
}

impl Stats {
    /// What `sample` says of a container; nothing, if it has no process.
    pub(super) fn of(
        container: &Container,
        sample: Option<&Sample>,
        before: Option<&Sample>,
    ) -> Self {
        let time = |sample: Option<&Sample>| {
            sample.map_or_else(|| NEVER.to_owned(), |sample| rfc3339(sample.read))
        };
        let cpu = |sample: Option<&Sample>| {
            sample.map(|sample| CpuView::of(&sample.figures.cpu, sample.processors))
        };
        let figures = sample.map(|sample| &sample.figures);
        let networks = sample.map(|sample| &sample.networks).into_iter().flatten();
        Self {
            name: format!("/{}", container.name),
            id: container.id.to_string(),
            read: time(sample),
            preread: time(before),
            pids_stats: figures.map(|figures| PidsView::of(figures.pids)).unwrap_or_default(),
            blkio_stats: figures.map(|figures| (&figures.block_io).into()).unwrap_or_default(),
            num_procs: 0,
            storage_stats: Empty {},
            cpu_stats: cpu(sample).unwrap_or_default(),
            precpu_stats: cpu(before).unwrap_or_default(),
            memory_stats: figures.map(|figures| (&figures.memory).into()).unwrap_or_default(),
            networks: networks.map(|(name, traffic)| (name.clone(), traffic.into())).collect(),
        }
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

#[derive(Default, Serialize)]
struct PidsView {
    #[serde(skip_serializing_if = "is_zero")]
    current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
}

impl PidsView {
    fn of(pids: Pids) -> Self {
        Self { current: pids.current, limit: pids.limit }
    }
}

#[derive(Default, Serialize)]
struct CpuView {
    cpu_usage: CpuUsage,
    #[serde(skip_serializing_if = "is_zero")]
    system_cpu_usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    online_cpus: u32,
    throttling_data: Throttling,
}

#[derive(Default, Serialize)]
struct CpuUsage {
    total_usage: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_usage: Vec<u64>,
    usage_in_kernelmode: u64,
    usage_in_usermode: u64,
}

#[derive(Default, Serialize)]
struct Throttling {
    periods: u64,
    throttled_periods: u64,
    throttled_time: u64,
}

impl CpuView {
    fn of(cpu: &Cpu, processors: Processors) -> Self {
        Self {
            cpu_usage: CpuUsage {
                total_usage: cpu.total,
                percpu_usage: cpu.by_processor.clone(),
                usage_in_kernelmode: cpu.kernel,
                usage_in_usermode: cpu.user,
            },
            system_cpu_usage: processors.time,
            online_cpus: processors.online,
            throttling_data: Throttling {
                periods: cpu.periods,
                throttled_periods: cpu.throttled_periods,
                throttled_time: cpu.throttled_time,
            },
        }
    }
}

#[derive(Default, Serialize)]
struct MemoryView {
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max_usage: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    stats: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "is_zero")]
    failcnt: u64,
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
}

impl From<&Memory> for MemoryView {
    fn from(memory: &Memory) -> Self {
        Self {
            usage: memory.usage,
            max_usage: memory.max_usage,
            stats: memory.parts.clone(),
            failcnt: memory.failures,
            limit: memory.limit,
        }
    }
}

/// What the kernel doesn't count is `null`.
#[derive(Default, Serialize)]
struct BlockIoView {
    io_service_bytes_recursive: Option<Vec<EntryView>>,
    io_serviced_recursive: Option<Vec<EntryView>>,
    io_queue_recursive: Option<Vec<EntryView>>,
    io_service_time_recursive: Option<Vec<EntryView>>,
    io_wait_time_recursive: Option<Vec<EntryView>>,
    io_merged_recursive: Option<Vec<EntryView>>,
    io_time_recursive: Option<Vec<EntryView>>,
    sectors_recursive: Option<Vec<EntryView>>,
}

#[derive(Serialize)]
struct EntryView {
    major: u64,
    minor: u64,
    op: String,
    value: u64,
}

impl From<&BlockIo> for BlockIoView {
    fn from(io: &BlockIo) -> Self {
        let entry = |entry: &BlockIoEntry| EntryView {
            major: entry.major,
            minor: entry.minor,
            op: entry.operation.clone(),
            value: entry.value,
        };
        let entries = |list: &Option<Vec<BlockIoEntry>>| {
            list.as_ref().map(|list| list.iter().map(entry).collect())
        };
        Self {
            io_service_bytes_recursive: entries(&io.service_bytes),
            io_serviced_recursive: entries(&io.serviced),
            io_queue_recursive: entries(&io.queued),
            io_service_time_recursive: entries(&io.service_time),
            io_wait_time_recursive: entries(&io.wait_time),
            io_merged_recursive: entries(&io.merged),
            io_time_recursive: entries(&io.time),
            sectors_recursive: entries(&io.sectors),
        }
    }
}

#[derive(Serialize)]
struct TrafficView {
    rx_bytes: u64,
    rx_packets: u64,
    rx_errors: u64,
    rx_dropped: u64,
    tx_bytes: u64,
    tx_packets: u64,
    tx_errors: u64,
    tx_dropped: u64,
}

impl From<&Traffic> for TrafficView {
    fn from(traffic: &Traffic) -> Self {
        Self {
            rx_bytes: traffic.rx_bytes,
            rx_packets: traffic.rx_packets,
            rx_errors: traffic.rx_errors,
            rx_dropped: traffic.rx_dropped,
            tx_bytes: traffic.tx_bytes,
            tx_packets: traffic.tx_packets,
            tx_errors: traffic.tx_errors,
            tx_dropped: traffic.tx_dropped,
        }
    }
}
