//! Limits: which make sense, and which this host can't keep.

use crate::container::resources::{Resources, Ulimit};
use crate::error::{Error, Result};
use crate::host::{Cgroups, Controller};

/// With less, a container doesn't even come up.
const LEAST_MEMORY: i64 = 6 << 20;
/// Billionths of a CPU in one.
const WHOLE_CPU: i64 = 1_000_000_000;

/// The limits of a process that the kernel has.
const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// What this host can limit.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) memory: bool,
    pub(super) swap: bool,
    pub(super) swappiness: bool,
    pub(super) oom_control: bool,
    pub(super) pids: bool,
    pub(super) cpu: bool,
    pub(super) cpu_quota: bool,
    pub(super) cpuset: bool,
    pub(super) realtime: bool,
    pub(super) io_weight: bool,
    pub(super) io_weight_device: bool,
    pub(super) io_limits: bool,
    pub(super) processors: usize,
}

impl Means {
    /// Asks the host.
    pub(super) fn of(cgroups: &Cgroups) -> Self {
        Self {
            memory: cgroups.has(Controller::Memory),
            swap: cgroups.limits_swap(),
            swappiness: cgroups.can_disable_oom_killer(),
            oom_control: cgroups.can_disable_oom_killer(),
            pids: cgroups.has(Controller::Pids),
            cpu: cgroups.has(Controller::Cpu),
            cpu_quota: cgroups.has_cpu_quota(),
            cpuset: cgroups.has(Controller::Cpuset),
            realtime: cgroups.has_file(Controller::Cpu, "cpu.rt_period_us"),
            io_weight: cgroups.weighs_io(),
            io_weight_device: cgroups.weighs_io_of_devices(),
            io_limits: cgroups.has(Controller::Io),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Checks `resources`, fills in what follows from them, and takes out what this host can't keep;
/// what is taken out is said in the warnings.
///
/// # Errors
/// Invalid, in docker's words, for what makes no sense.
pub(super) fn settle(resources: &mut Resources, means: &Means) -> Result<Vec<String>> {
    let warnings = settle_update(resources, means)?;
    if resources.memory_swap > 0 && resources.memory == 0 {
        return Err(Error::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    // As much swap again as there is memory.
    if resources.memory > 0 && resources.memory_swap == 0 {
        resources.memory_swap = resources.memory.saturating_mul(2);
    }
    Ok(warnings)
}

/// The same for what is to be changed of a container: what isn't said is as it was.
pub(super) fn settle_update(resources: &mut Resources, means: &Means) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    settle_memory(resources, means, &mut warnings)?;
    settle_cpu(resources, means, &mut warnings)?;
    check_realtime(resources, means)?;
    if resources.pids_limit.is_some() && !means.pids {
        if resources.pids_limit > Some(0) {
            warn(
                &mut warnings,
                "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            );
        }
        resources.pids_limit = None;
    }
    settle_block_io(resources, means, &mut warnings)?;
    for ulimit in &resources.ulimits {
        check_ulimit_name(&ulimit.name)?;
        if ulimit.soft < -1 || ulimit.hard < -1 {
            return Err(Error::invalid(format!("invalid ulimit {}", ulimit.name)));
        }
        if ulimit.hard != -1 && (ulimit.soft > ulimit.hard || ulimit.soft == -1) {
            return Err(Error::invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                ulimit.soft, ulimit.hard
            )));
        }
    }
    Ok(warnings)
}

/// Adds the manager's limits of processes that the container doesn't set itself.
pub(super) fn fill_in(resources: &mut Resources, defaults: &[Ulimit]) {
    for default in defaults {
        if !resources.ulimits.iter().any(|own| own.name == default.name) {
            resources.ulimits.push(default.clone());
        }
    }
}

fn check_ulimit_name(name: &str) -> Result<()> {
    if ULIMITS.contains(&name.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    let wrong = format!("wrong rlimit value: RLIMIT_{}", name.to_uppercase());
    Err(Error::invalid(format!("invalid ulimit type: {name}: {wrong}")))
}

fn settle_memory(
    resources: &mut Resources,
    means: &Means,
    warnings: &mut Vec<String>,
) -> Result<()> {
    // Old clients say -1 for "not said".
    if resources.memory_swappiness == Some(-1) {
        resources.memory_swappiness = None;
    }
    if resources.memory != 0 && resources.memory < LEAST_MEMORY {
        return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
    }
    if resources.memory > 0 && !means.memory {
        warn(
            warnings,
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        );
        resources.memory = 0;
        resources.memory_swap = -1;
    }
    if resources.memory > 0 && resources.memory_swap != -1 && !means.swap {
        warn(
            warnings,
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
        );
        resources.memory_swap = -1;
    }
    if resources.memory_swap > 0 && resources.memory_swap < resources.memory {
        return Err(Error::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if let Some(swappiness) = resources.memory_swappiness {
        if !means.swappiness {
            warn(
                warnings,
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
            );
            resources.memory_swappiness = None;
        } else if !(0..=100).contains(&swappiness) {
            return Err(Error::invalid(format!(
                "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
            )));
        }
    }
    if resources.memory_reservation > 0 {
        if !means.memory {
            warn(
                warnings,
                "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
            );
            resources.memory_reservation = 0;
        } else if resources.memory_reservation < LEAST_MEMORY {
            return Err(Error::invalid("Minimum memory reservation allowed is 6MB"));
        } else if resources.memory > 0 && resources.memory < resources.memory_reservation {
            return Err(Error::invalid(
                "Minimum memory limit can not be less than memory reservation limit, see usage",
            ));
        }
    }
    if !means.oom_control {
        if resources.oom_kill_disable == Some(true) {
            warn(
                warnings,
                "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
            );
        }
        resources.oom_kill_disable = None;
    } else if resources.oom_kill_disable == Some(true) && resources.memory == 0 {
        warn(
            warnings,
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
        );
    }
    Ok(())
}

fn settle_block_io(
    resources: &mut Resources,
    means: &Means,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if resources.blkio_weight > 0 && !means.io_weight {
        warn(
            warnings,
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        );
        resources.blkio_weight = 0;
    }
    let is_legal = |weight: u16| (10..=1000).contains(&weight);
    if resources.blkio_weight != 0 && !is_legal(resources.blkio_weight) {
        return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
    }
    if !resources.blkio_weight_devices.is_empty() && !means.io_weight_device {
        warn(
            warnings,
            "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
        );
        resources.blkio_weight_devices.clear();
    }
    for (rates, what, discarded) in [
        (&mut resources.blkio_read_bps, "BPS Block I/O read", "Block I/O BPS read"),
        (&mut resources.blkio_write_bps, "BPS Block I/O write", "Block I/O BPS write"),
        (&mut resources.blkio_read_iops, "IOPS Block read", "Block I/O IOPS read"),
        (&mut resources.blkio_write_iops, "IOPS Block write", "Block I/O IOPS write"),
    ] {
        if !rates.is_empty() && !means.io_limits {
            rates.clear();
            warnings.push(format!(
                "Your kernel does not support {what} limit or the cgroup is not mounted. {discarded} \
                 limit discarded."
            ));
        }
    }
    Ok(())
}

/// Real-time limits; as in docker, they are refused where the kernel hasn't got them.
fn check_realtime(resources: &Resources, means: &Means) -> Result<()> {
    let (period, runtime) = (resources.cpu_realtime_period, resources.cpu_realtime_runtime);
    if (period != 0 || runtime != 0) && !means.realtime {
        return Err(Error::invalid("kernel does not support CPU real-time scheduler"));
    }
    if period != 0 && runtime > period {
        return Err(Error::invalid(
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ));
    }
    Ok(())
}

fn settle_cpu(resources: &mut Resources, means: &Means, warnings: &mut Vec<String>) -> Result<()> {
    if resources.nano_cpus > 0 && resources.cpu_period > 0 {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ));
    }
    if resources.nano_cpus > 0 && resources.cpu_quota > 0 {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ));
    }
    if resources.nano_cpus > 0 && !means.cpu_quota {
        return Err(Error::invalid(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the \
             cgroup is not mounted",
        ));
    }
    let most = i64::try_from(means.processors).unwrap_or(i64::MAX).saturating_mul(WHOLE_CPU);
    if !(0..=most).contains(&resources.nano_cpus) {
        let processors = means.processors;
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs \
             available"
        )));
    }
    if resources.cpu_shares < 0 {
        return Err(Error::invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            resources.cpu_shares
        )));
    }
    if resources.cpu_shares > 0 && !means.cpu {
        warn(
            warnings,
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
        );
        resources.cpu_shares = 0;
    }
    if (resources.cpu_period != 0 || resources.cpu_quota != 0) && !means.cpu_quota {
        warn(
            warnings,
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
        );
        resources.cpu_period = 0;
        resources.cpu_quota = 0;
    }
    if resources.cpu_period != 0 && !(1_000..=1_000_000).contains(&resources.cpu_period) {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if resources.cpu_quota > 0 && resources.cpu_quota < 1_000 {
        return Err(Error::invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    if (!resources.cpuset_cpus.is_empty() || !resources.cpuset_mems.is_empty()) && !means.cpuset {
        warn(
            warnings,
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
        );
        resources.cpuset_cpus.clear();
        resources.cpuset_mems.clear();
    }
    check_set("cpus", "CPUs", &resources.cpuset_cpus, "/sys/devices/system/cpu/online")?;
    check_set("mems", "memory nodes", &resources.cpuset_mems, "/sys/devices/system/node/online")
}

/// Checks that `text` is a list of numbers, and that all of them are in the list of `file`.
fn check_set(name: &str, what: &str, text: &str, file: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let wanted = number_set(text).ok_or_else(|| {
        let what = format!("Invalid value {text} for cpuset {name}: invalid format: {text}");
        Error::invalid(what)
    })?;
    // A host without such a list (no NUMA) has what the kernel always has: number 0.
    let online = std::fs::read_to_string(file).unwrap_or_else(|_| "0".to_owned());
    let online = online.trim();
    let available = number_set(online).unwrap_or_default();
    if wanted.iter().all(|number| available.contains(number)) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Requested {what} are not available - requested {text}, available: {online}"
    )))
}

/// The numbers of `0-2,4`; `None` if it is no such list.
fn number_set(text: &str) -> Option<std::collections::BTreeSet<u32>> {
    /// More than any machine has.
    const MOST: u32 = 8192;
    let mut numbers = std::collections::BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u32 = first.trim().parse().ok()?;
        let last: u32 = last.trim().parse().ok()?;
        if first > last || last > MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

fn warn(warnings: &mut Vec<String>, text: &str) {
    warnings.push(text.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::resources::{DeviceRate, Ulimit};

    const MEANS: Means = Means {
        memory: true,
        swap: true,
        swappiness: true,
        oom_control: true,
        pids: true,
        cpu: true,
        cpu_quota: true,
        cpuset: true,
        realtime: true,
        io_weight: true,
        io_weight_device: true,
        io_limits: true,
        processors: 2,
    };

    fn refused(change: impl FnOnce(&mut Resources)) -> String {
        let mut resources = Resources::default();
        change(&mut resources);
        settle(&mut resources, &MEANS).unwrap_err().to_string()
    }

    #[test]
    fn senseless_limits_are_refused_in_dockers_words() {
        assert_eq!(refused(|r| r.memory = 1 << 20), "Minimum memory limit allowed is 6MB");
        assert!(refused(|r| r.memory_swap = 1 << 30).contains("always set the Memory limit"));
        assert_eq!(
            refused(|r| r.nano_cpus = 3 * WHOLE_CPU),
            "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"
        );
        assert!(refused(|r| r.cpu_period = 10).contains("CPU cfs period"));
        assert!(refused(|r| r.cpuset_cpus = "x".to_owned()).contains("Invalid value x"));
        assert!(refused(|r| r.cpuset_cpus = "8000".to_owned()).contains("not available"));
        assert!(refused(|r| r.blkio_weight = 5).contains("10 to 1000"));
        let realtime = refused(|r| {
            r.cpu_realtime_period = 1;
            r.cpu_realtime_runtime = 2;
        });
        assert!(realtime.contains("cannot be higher than cpu real-time period"));
    }

    #[test]
    fn ulimits_are_known_by_name() {
        let ulimit = |name: &str| Ulimit { name: name.to_owned(), soft: 1, hard: 2 };
        let mut resources = Resources { ulimits: vec![ulimit("nofile")], ..Resources::default() };
        settle(&mut resources, &MEANS).unwrap();
        assert_eq!(
            refused(|r| r.ulimits.push(ulimit("foo"))),
            "invalid ulimit type: foo: wrong rlimit value: RLIMIT_FOO"
        );
    }

    #[test]
    fn swap_is_as_much_again_as_memory() {
        let mut resources = Resources { memory: 64 << 20, ..Resources::default() };
        assert!(settle(&mut resources, &MEANS).unwrap().is_empty());
        assert_eq!(resources.memory_swap, 128 << 20);
    }

    #[test]
    fn what_the_host_cannot_keep_is_left_out_with_a_warning() {
        let means = Means { swap: false, pids: false, io_limits: false, ..MEANS };
        let mut resources = Resources {
            memory: 64 << 20,
            pids_limit: Some(5),
            blkio_read_bps: vec![DeviceRate { path: "/dev/vda".to_owned(), rate: 1 }],
            ..Resources::default()
        };
        let warnings = settle(&mut resources, &means).unwrap();
        assert_eq!(warnings.len(), 3);
        assert!(warnings.concat().ends_with("Block I/O BPS read limit discarded."));
        assert_eq!((resources.memory_swap, resources.pids_limit), (-1, None));
        assert!(resources.blkio_read_bps.is_empty());
    }
}
