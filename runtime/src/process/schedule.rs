//! CPU scheduling, I/O priority and CPU affinity of a process.

use crate::error::{Context, Error, Result};
use crate::linux::schedule::{SchedAttr, set_io_priority, set_scheduler};
use oci_spec::runtime::{
    IOPriorityClass, LinuxIOPriority, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Scheduler,
};
use rustix::thread::CpuSet;

/// Refuses what no kernel does, before anything is made.
pub(crate) fn check(process: &Process) -> Result<()> {
    if let Some(scheduler) = process.scheduler() {
        check_scheduler(scheduler)?;
    }
    match process.io_priority() {
        Some(priority) => level(priority).map(|_| ()),
        None => Ok(()),
    }
}

fn check_scheduler(scheduler: &Scheduler) -> Result<()> {
    use LinuxSchedulerPolicy::*;
    let policy = scheduler.policy();
    let nice = scheduler.nice().unwrap_or(0);
    if matches!(policy, SchedOther | SchedBatch) && !(-20..=19).contains(&nice) {
        return Err(Error::invalid(format!(
            "invalid scheduler.nice: {nice} when scheduler.policy is {policy}"
        )));
    }
    let says = |value: &Option<u64>| value.is_some_and(|value| value != 0);
    if scheduler.priority().is_some_and(|value| value != 0)
        && !matches!(policy, SchedFifo | SchedRr)
    {
        return Err(Error::invalid(
            "scheduler.priority can only be specified for SchedFIFO or SchedRR policy",
        ));
    }
    let times = [scheduler.runtime(), scheduler.deadline(), scheduler.period()];
    if !matches!(policy, SchedDeadline) && times.into_iter().any(says) {
        return Err(Error::invalid(
            "scheduler runtime/deadline/period can only be specified for SchedDeadline policy",
        ));
    }
    attributes(scheduler).map(|_| ())
}

/// Applies a CPU scheduling policy to this process.
pub(crate) fn apply_scheduler(scheduler: &Scheduler) -> Result<()> {
    set_scheduler(attributes(scheduler)?).context(|| "error setting scheduler")
}

fn attributes(scheduler: &Scheduler) -> Result<SchedAttr> {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let priority = scheduler.priority().unwrap_or(0);
    let priority = u32::try_from(priority)
        .map_err(|_| Error::invalid(format!("scheduler priority {priority} is negative")))?;
    Ok(SchedAttr {
        size: 0,
        policy,
        flags: scheduler.flags().iter().flatten().map(flag).fold(0, |all, one| all | one),
        nice: scheduler.nice().unwrap_or(0),
        priority,
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    })
}

fn flag(flag: &LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

/// Applies an I/O priority to this process.
pub(crate) fn apply_io_priority(priority: &LinuxIOPriority) -> Result<()> {
    let class = match priority.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    set_io_priority(class, level(priority)?).context(|| "failed to set io priority")
}

fn level(priority: &LinuxIOPriority) -> Result<u16> {
    let level = priority.priority();
    u16::try_from(level)
        .ok()
        .filter(|level| *level < 8)
        .ok_or_else(|| Error::invalid(format!("invalid ioPriority.Priority: {level}")))
}

/// Lets this process run on the CPUs of `list` (`0-3,7`) only.
pub(crate) fn apply_affinity(list: &str) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in parse_list(list)? {
        if cpu >= CpuSet::MAX_CPU {
            return Err(Error::invalid(format!("CPU {cpu} is out of range")));
        }
        set.set(cpu);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .context(|| format!("set CPU affinity to {list:?}"))
}

/// Lets this process run on all CPUs of its cgroup, also on those that come later. The kernel takes
/// from the full set what there is; where it does not, the process is bound as before.
pub(crate) fn reset_affinity() {
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    let _ = rustix::thread::sched_setaffinity(None, &all);
}

/// The first CPUs that this process may run on, as bits; for the log.
pub(crate) fn first_cpus() -> u64 {
    let set = rustix::thread::sched_getaffinity(None).unwrap_or_default();
    (0..64).filter(|cpu| set.is_set(*cpu)).fold(0, |bits, cpu| bits | 1 << cpu)
}

/// The numbers of a list like `0-3,7`.
pub(super) fn parse_list(list: &str) -> Result<Vec<usize>> {
    const HIGHEST: usize = 8191;
    let bad = || Error::invalid(format!("{list:?} is not a list like 0-3,7"));
    let mut numbers = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| bad())?;
        let last: usize = last.trim().parse().map_err(|_| bad())?;
        if first > last || last > HIGHEST {
            return Err(bad());
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduler_that_contradicts_itself_is_refused() {
        let check = |json: &str| check_scheduler(&serde_json::from_str(json).unwrap());
        for good in [
            r#"{"policy": "SCHED_BATCH", "nice": 19, "priority": 0}"#,
            r#"{"policy": "SCHED_FIFO", "priority": 10}"#,
            r#"{"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3}"#,
        ] {
            check(good).unwrap();
        }
        for (bad, words) in [
            (r#"{"policy": "SCHED_OTHER", "nice": 20}"#, "invalid scheduler.nice: 20"),
            (r#"{"policy": "SCHED_BATCH", "priority": 1}"#, "scheduler.priority"),
            (r#"{"policy": "SCHED_RR", "priority": -1}"#, "negative"),
            (r#"{"policy": "SCHED_IDLE", "runtime": 1}"#, "runtime/deadline/period"),
        ] {
            let error = check(bad).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn lists_are_ranges_and_numbers() {
        assert_eq!(parse_list("0-2, 7,").unwrap(), [0, 1, 2, 7]);
        for bad in ["a", "3-1", "1-", "0-99999999"] {
            assert!(parse_list(bad).is_err(), "{bad}");
        }
    }
}
