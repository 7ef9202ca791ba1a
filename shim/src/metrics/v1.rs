//! The figures of cgroups of version 1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tare_proto::containerd::cgroups::v1::{
    BlkIoEntry, BlkIoStat, CpuStat, CpuUsage, HugetlbStat, MemoryEntry, MemoryOomControl,
    MemoryStat, Metrics, PidsStat, RdmaEntry, RdmaStat, Throttle,
};

use super::read::{Rdma, by_device, flat, huge_page_sizes, number, rdma_devices};

/// Nanoseconds of one of the ticks in which the kernel tells times to user space (`USER_HZ`).
const TICK: u64 = 10_000_000;

/// Reads them all; `by_controller` are the container's directories.
pub(super) fn measure(by_controller: &BTreeMap<String, PathBuf>) -> Metrics {
    let of = |controller: &str| by_controller.get(controller).map(PathBuf::as_path);
    Metrics {
        hugetlb: of("hugetlb").map(hugetlb).unwrap_or_default(),
        pids: of("pids").map(pids),
        cpu: of("cpuacct").or(of("cpu")).map(|accounts| cpu(accounts, of("cpu"))),
        memory: of("memory").map(memory),
        blkio: of("blkio").map(blkio),
        rdma: of("rdma").map(rdma),
        memory_oom_control: of("memory").map(oom_control),
        ..Metrics::default()
    }
}

fn hugetlb(cgroup: &Path) -> Vec<HugetlbStat> {
    let sizes = huge_page_sizes(cgroup, "usage_in_bytes").into_iter();
    let stat = |pagesize: String| {
        let get =
            |file: &str| number(cgroup, &format!("hugetlb.{pagesize}.{file}")).unwrap_or_default();
        HugetlbStat {
            usage: get("usage_in_bytes"),
            max: get("max_usage_in_bytes"),
            failcnt: get("failcnt"),
            pagesize,
        }
    };
    sizes.map(stat).collect()
}

fn pids(cgroup: &Path) -> PidsStat {
    // No limit is told as 0.
    let limit = number(cgroup, "pids.max").filter(|limit| *limit != u64::MAX);
    PidsStat {
        current: number(cgroup, "pids.current").unwrap_or_default(),
        limit: limit.unwrap_or_default(),
    }
}

fn cpu(accounts: &Path, cpu: Option<&Path>) -> CpuStat {
    let times = flat(accounts, "cpuacct.stat");
    let ticks = |name: &str| times.get(name).copied().unwrap_or_default().saturating_mul(TICK);
    let per_cpu = std::fs::read_to_string(accounts.join("cpuacct.usage_percpu"));
    let per_cpu = per_cpu.unwrap_or_default();
    let throttling = cpu.map(|cgroup| flat(cgroup, "cpu.stat")).unwrap_or_default();
    let get = |name: &str| throttling.get(name).copied().unwrap_or_default();
    CpuStat {
        usage: Some(CpuUsage {
            total: number(accounts, "cpuacct.usage").unwrap_or_default(),
            kernel: ticks("system"),
            user: ticks("user"),
            per_cpu: per_cpu.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
        }),
        throttling: Some(Throttle {
            periods: get("nr_periods"),
            throttled_periods: get("nr_throttled"),
            throttled_time: get("throttled_time"),
        }),
    }
}

fn memory(cgroup: &Path) -> MemoryStat {
    let stat = flat(cgroup, "memory.stat");
    let get = |name: &str| stat.get(name).copied().unwrap_or_default();
    MemoryStat {
        cache: get("cache"),
        rss: get("rss"),
        rss_huge: get("rss_huge"),
        mapped_file: get("mapped_file"),
        dirty: get("dirty"),
        writeback: get("writeback"),
        pg_pg_in: get("pgpgin"),
        pg_pg_out: get("pgpgout"),
        pg_fault: get("pgfault"),
        pg_maj_fault: get("pgmajfault"),
        inactive_anon: get("inactive_anon"),
        active_anon: get("active_anon"),
        inactive_file: get("inactive_file"),
        active_file: get("active_file"),
        unevictable: get("unevictable"),
        hierarchical_memory_limit: get("hierarchical_memory_limit"),
        hierarchical_swap_limit: get("hierarchical_memsw_limit"),
        total_cache: get("total_cache"),
        total_rss: get("total_rss"),
        total_rss_huge: get("total_rss_huge"),
        total_mapped_file: get("total_mapped_file"),
        total_dirty: get("total_dirty"),
        total_writeback: get("total_writeback"),
        total_pg_pg_in: get("total_pgpgin"),
        total_pg_pg_out: get("total_pgpgout"),
        total_pg_fault: get("total_pgfault"),
        total_pg_maj_fault: get("total_pgmajfault"),
        total_inactive_anon: get("total_inactive_anon"),
        total_active_anon: get("total_active_anon"),
        total_inactive_file: get("total_inactive_file"),
        total_active_file: get("total_active_file"),
        total_unevictable: get("total_unevictable"),
        usage: memory_entry(cgroup, "memory."),
        swap: memory_entry(cgroup, "memory.memsw."),
        kernel: memory_entry(cgroup, "memory.kmem."),
        kernel_tcp: memory_entry(cgroup, "memory.kmem.tcp."),
    }
}

/// `None` where the host doesn't count this sort of memory.
fn memory_entry(cgroup: &Path, prefix: &str) -> Option<MemoryEntry> {
    let get = |file: &str| number(cgroup, &format!("{prefix}{file}"));
    Some(MemoryEntry {
        usage: get("usage_in_bytes")?,
        limit: get("limit_in_bytes").unwrap_or_default(),
        max: get("max_usage_in_bytes").unwrap_or_default(),
        failcnt: get("failcnt").unwrap_or_default(),
    })
}

fn oom_control(cgroup: &Path) -> MemoryOomControl {
    let control = flat(cgroup, "memory.oom_control");
    let get = |name: &str| control.get(name).copied().unwrap_or_default();
    MemoryOomControl {
        oom_kill_disable: get("oom_kill_disable"),
        under_oom: get("under_oom"),
        oom_kill: get("oom_kill"),
    }
}

fn blkio(cgroup: &Path) -> BlkIoStat {
    // Which of the two files there is depends on the block devices' scheduler.
    let entries = |bfq: &str, throttle: &str| {
        let entries = block_entries(cgroup, bfq);
        if entries.is_empty() { block_entries(cgroup, throttle) } else { entries }
    };
    BlkIoStat {
        io_service_bytes_recursive: entries(
            "blkio.bfq.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes_recursive",
        ),
        io_serviced_recursive: entries(
            "blkio.bfq.io_serviced_recursive",
            "blkio.throttle.io_serviced_recursive",
        ),
        io_queued_recursive: block_entries(cgroup, "blkio.bfq.io_queued_recursive"),
        io_service_time_recursive: block_entries(cgroup, "blkio.bfq.io_service_time_recursive"),
        io_wait_time_recursive: block_entries(cgroup, "blkio.bfq.io_wait_time_recursive"),
        io_merged_recursive: block_entries(cgroup, "blkio.bfq.io_merged_recursive"),
        io_time_recursive: block_entries(cgroup, "blkio.bfq.time_recursive"),
        sectors_recursive: block_entries(cgroup, "blkio.bfq.sectors_recursive"),
    }
}

fn block_entries(cgroup: &Path, file: &str) -> Vec<BlkIoEntry> {
    let entry = |(major, minor, words): (u64, u64, Vec<String>)| {
        let (op, value) = match &words[..] {
            [op, value] => (op.clone(), value),
            [value] => (String::new(), value),
            _ => return None,
        };
        let device = device_name(major, minor);
        Some(BlkIoEntry { op, device, major, minor, value: value.parse().ok()? })
    };
    by_device(cgroup, file).into_iter().filter_map(entry).collect()
}

/// Where a block device is found, as udev would name it.
fn device_name(major: u64, minor: u64) -> String {
    let facts = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent"));
    let facts = facts.unwrap_or_default();
    let name = facts.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    name.map_or_else(String::new, |name| format!("/dev/{name}"))
}

fn rdma(cgroup: &Path) -> RdmaStat {
    let entries = |file: &str| {
        let entry = |Rdma { device, hca_handles, hca_objects }| RdmaEntry {
            device,
            hca_handles,
            hca_objects,
        };
        rdma_devices(cgroup, file).into_iter().map(entry).collect()
    };
    RdmaStat { current: entries("rdma.current"), limit: entries("rdma.max") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_where_containerd_looks_for_them() {
        let root = tempfile::tempdir().unwrap();
        let mut by_controller = BTreeMap::new();
        let mut write = |controller: &str, files: &[(&str, &str)]| {
            let cgroup = root.path().join(controller);
            std::fs::create_dir_all(&cgroup).unwrap();
            for (file, text) in files {
                std::fs::write(cgroup.join(file), text).unwrap();
            }
            by_controller.insert(controller.to_owned(), cgroup);
        };
        write(
            "memory",
            &[
                ("memory.stat", "cache 1\nrss 2\npgpgin 3\ntotal_pgmajfault 4\n"),
                ("memory.usage_in_bytes", "5\n"),
                ("memory.limit_in_bytes", "6\n"),
                ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"),
            ],
        );
        write("pids", &[("pids.current", "8\n"), ("pids.max", "max\n")]);
        write(
            "cpuacct",
            &[
                ("cpuacct.usage", "9\n"),
                ("cpuacct.stat", "user 1\nsystem 2\n"),
                ("cpuacct.usage_percpu", "4 5\n"),
            ],
        );
        write("cpu", &[("cpu.stat", "nr_periods 10\nnr_throttled 11\nthrottled_time 12\n")]);
        write(
            "blkio",
            &[(
                "blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 13\n8:0 Write 14\nTotal 27\n",
            )],
        );
        write(
            "hugetlb",
            &[("hugetlb.2MB.usage_in_bytes", "15\n"), ("hugetlb.2MB.rsvd.usage_in_bytes", "16\n")],
        );
        let metrics = measure(&by_controller);
        let memory = metrics.memory.unwrap();
        assert_eq!((memory.cache, memory.rss, memory.pg_pg_in), (1, 2, 3));
        assert_eq!(memory.total_pg_maj_fault, 4);
        assert_eq!(memory.usage.map(|entry| (entry.usage, entry.limit)), Some((5, 6)));
        assert!(memory.swap.is_none());
        assert_eq!(metrics.memory_oom_control.unwrap().oom_kill, 7);
        assert_eq!(metrics.pids.unwrap(), PidsStat { current: 8, limit: 0 });
        let cpu = metrics.cpu.unwrap();
        let usage = cpu.usage.unwrap();
        assert_eq!((usage.total, usage.user, usage.kernel), (9, 10_000_000, 20_000_000));
        assert_eq!(usage.per_cpu, [4, 5]);
        assert_eq!(cpu.throttling.unwrap().throttled_time, 12);
        let io = metrics.blkio.unwrap().io_service_bytes_recursive;
        assert_eq!((io.len(), io[1].op.as_str(), io[1].value), (2, "Write", 14));
        assert_eq!(metrics.hugetlb.len(), 1);
    }
}
