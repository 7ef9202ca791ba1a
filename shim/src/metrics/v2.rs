//! The figures of a cgroup of version 2.

use std::path::Path;

use tare_proto::containerd::cgroups::v2::{
    CpuStat, HugeTlbStat, IoEntry, IoStat, MemoryEvents, MemoryStat, Metrics, PidsStat, PsiData,
    PsiStats, RdmaEntry, RdmaStat,
};

use super::read::{Rdma, assignments, by_device, flat, huge_page_sizes, number, rdma_devices};

/// Reads them all from the container's directory.
pub(super) fn measure(cgroup: &Path) -> Metrics {
    Metrics {
        pids: Some(pids(cgroup)),
        cpu: Some(cpu(cgroup)),
        memory: Some(memory(cgroup)),
        rdma: Some(rdma(cgroup)),
        io: Some(io(cgroup)),
        hugetlb: hugetlb(cgroup),
        memory_events: Some(memory_events(cgroup)),
        ..Metrics::default()
    }
}

fn pids(cgroup: &Path) -> PidsStat {
    let get = |file| number(cgroup, file).unwrap_or_default();
    PidsStat { current: get("pids.current"), limit: get("pids.max") }
}

fn cpu(cgroup: &Path) -> CpuStat {
    let stat = flat(cgroup, "cpu.stat");
    let get = |name: &str| stat.get(name).copied().unwrap_or_default();
    CpuStat {
        usage_usec: get("usage_usec"),
        user_usec: get("user_usec"),
        system_usec: get("system_usec"),
        nr_periods: get("nr_periods"),
        nr_throttled: get("nr_throttled"),
        throttled_usec: get("throttled_usec"),
        psi: pressure(cgroup, "cpu.pressure"),
        nr_bursts: get("nr_bursts"),
        burst_usec: get("burst_usec"),
    }
}

fn memory(cgroup: &Path) -> MemoryStat {
    let stat = flat(cgroup, "memory.stat");
    let get = |name: &str| stat.get(name).copied().unwrap_or_default();
    // Newer kernels count anonymous memory and files apart.
    let both = |name: &str| {
        let apart = ["anon", "file"].map(|kind| get(&format!("{name}_{kind}")));
        get(name).max(apart.iter().sum())
    };
    let limit = |file| number(cgroup, file).unwrap_or_default();
    MemoryStat {
        anon: get("anon"),
        file: get("file"),
        kernel_stack: get("kernel_stack"),
        slab: get("slab"),
        sock: get("sock"),
        shmem: get("shmem"),
        file_mapped: get("file_mapped"),
        file_dirty: get("file_dirty"),
        file_writeback: get("file_writeback"),
        anon_thp: get("anon_thp"),
        inactive_anon: get("inactive_anon"),
        active_anon: get("active_anon"),
        inactive_file: get("inactive_file"),
        active_file: get("active_file"),
        unevictable: get("unevictable"),
        slab_reclaimable: get("slab_reclaimable"),
        slab_unreclaimable: get("slab_unreclaimable"),
        pgfault: get("pgfault"),
        pgmajfault: get("pgmajfault"),
        workingset_refault: both("workingset_refault"),
        workingset_activate: both("workingset_activate"),
        workingset_nodereclaim: get("workingset_nodereclaim"),
        pgrefill: get("pgrefill"),
        pgscan: get("pgscan"),
        pgsteal: get("pgsteal"),
        pgactivate: get("pgactivate"),
        pgdeactivate: get("pgdeactivate"),
        pglazyfree: get("pglazyfree"),
        pglazyfreed: get("pglazyfreed"),
        thp_fault_alloc: get("thp_fault_alloc"),
        thp_collapse_alloc: get("thp_collapse_alloc"),
        usage: limit("memory.current"),
        usage_limit: limit("memory.max"),
        max_usage: limit("memory.peak"),
        swap_usage: limit("memory.swap.current"),
        swap_limit: limit("memory.swap.max"),
        swap_max_usage: limit("memory.swap.peak"),
        psi: pressure(cgroup, "memory.pressure"),
    }
}

fn memory_events(cgroup: &Path) -> MemoryEvents {
    let events = flat(cgroup, "memory.events");
    let get = |name: &str| events.get(name).copied().unwrap_or_default();
    MemoryEvents {
        low: get("low"),
        high: get("high"),
        max: get("max"),
        oom: get("oom"),
        oom_kill: get("oom_kill"),
        oom_group_kill: get("oom_group_kill"),
    }
}

fn io(cgroup: &Path) -> IoStat {
    let entry = |(major, minor, words): (u64, u64, Vec<String>)| {
        let values = assignments(words.iter().map(String::as_str));
        let get = |name: &str| values.get(name).copied().unwrap_or_default();
        IoEntry {
            major,
            minor,
            rbytes: get("rbytes"),
            wbytes: get("wbytes"),
            rios: get("rios"),
            wios: get("wios"),
        }
    };
    let usage = by_device(cgroup, "io.stat").into_iter().map(entry).collect();
    IoStat { usage, psi: pressure(cgroup, "io.pressure") }
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

fn hugetlb(cgroup: &Path) -> Vec<HugeTlbStat> {
    let stat = |pagesize: String| {
        let get =
            |file: &str| number(cgroup, &format!("hugetlb.{pagesize}.{file}")).unwrap_or_default();
        let failures = flat(cgroup, &format!("hugetlb.{pagesize}.events"));
        HugeTlbStat {
            current: get("current"),
            max: get("max"),
            failcnt: failures.get("max").copied().unwrap_or_default(),
            pagesize,
        }
    };
    huge_page_sizes(cgroup, "current").into_iter().map(stat).collect()
}

/// How long work was held up for want of something; `None` where the kernel doesn't watch that.
fn pressure(cgroup: &Path, file: &str) -> Option<PsiStats> {
    let text = std::fs::read_to_string(cgroup.join(file)).ok()?;
    let of = |kind: &str| {
        let words = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let value = |name: &str| {
            words.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let average = |name| value(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        Some(PsiData {
            avg10: average("avg10"),
            avg60: average("avg60"),
            avg300: average("avg300"),
            total: value("total").and_then(|text| text.parse().ok()).unwrap_or_default(),
        })
    };
    Some(PsiStats { some: of("some "), full: of("full ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_where_containerd_looks_for_them() {
        let cgroup = tempfile::tempdir().unwrap();
        let files = [
            ("pids.current", "1\n"),
            ("pids.max", "max\n"),
            ("cpu.stat", "usage_usec 2\nuser_usec 3\nnr_throttled 4\n"),
            ("cpu.pressure", "some avg10=0.50 avg60=0.00 avg300=0.00 total=5\n"),
            ("memory.stat", "anon 6\nworkingset_refault_anon 1\nworkingset_refault_file 6\n"),
            ("memory.current", "8\n"),
            ("memory.max", "9\n"),
            ("memory.events", "oom 0\noom_kill 10\n"),
            ("io.stat", "8:0 rbytes=11 wbytes=12 rios=1 wios=2 dbytes=0 dios=0\n"),
            ("hugetlb.2MB.current", "13\n"),
            ("hugetlb.2MB.rsvd.current", "14\n"),
            ("hugetlb.2MB.events", "max 15\n"),
        ];
        for (file, text) in files {
            std::fs::write(cgroup.path().join(file), text).unwrap();
        }
        let metrics = measure(cgroup.path());
        assert_eq!(metrics.pids.unwrap(), PidsStat { current: 1, limit: u64::MAX });
        let cpu = metrics.cpu.unwrap();
        assert_eq!((cpu.usage_usec, cpu.user_usec, cpu.nr_throttled), (2, 3, 4));
        let some = cpu.psi.unwrap().some.unwrap();
        assert_eq!((some.avg10, some.total), (0.5, 5));
        let memory = metrics.memory.unwrap();
        assert_eq!((memory.anon, memory.workingset_refault), (6, 7));
        assert_eq!((memory.usage, memory.usage_limit), (8, 9));
        assert_eq!(metrics.memory_events.unwrap().oom_kill, 10);
        let io = metrics.io.unwrap().usage;
        assert_eq!((io[0].rbytes, io[0].wios), (11, 2));
        let pages: Vec<_> = metrics.hugetlb.iter().map(|s| (s.current, s.failcnt)).collect();
        assert_eq!(pages, [(13, 15)]);
    }
}
