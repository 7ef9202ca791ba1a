//! CPU scheduling, I/O priority, memory policy, personality and CPU affinity of a process.

use crate::error::{Context, Error, Result};
use crate::linux::schedule::{SchedAttr, set_io_priority, set_memory_policy, set_scheduler};
use crate::linux::system::set_personality;
use oci_spec::runtime::{
    IOPriorityClass, LinuxIOPriority, LinuxMemoryPolicy, LinuxPersonality, LinuxPersonalityDomain,
    LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType,
    Scheduler,
};
use rustix::thread::CpuSet;

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
    let level =
        u16::try_from(priority.priority()).ok().filter(|level| *level < 8).ok_or_else(|| {
            Error::invalid(format!("io priority {} is not between 0 and 7", priority.priority()))
        })?;
    set_io_priority(class, level).context(|| "failed to set io priority")
}

/// Applies an execution domain to this process.
pub(crate) fn apply_personality(personality: &LinuxPersonality) -> Result<()> {
    if personality.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(Error::unsupported("personality flags are not supported"));
    }
    let domain = match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    };
    set_personality(domain).context(|| "set personality")
}

/// Applies a NUMA memory policy to this process.
pub(crate) fn apply_memory_policy(policy: &LinuxMemoryPolicy) -> Result<()> {
    let mode = match policy.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flags = policy.flags().iter().flatten().fold(0u32, |all, flag| {
        all | match flag {
            MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
            MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
            MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
        }
    });
    let mut mask = [0u64; 16];
    for node in parse_list(policy.nodes().as_deref().unwrap_or_default())? {
        let word = mask
            .get_mut(node / 64)
            .ok_or_else(|| Error::invalid(format!("memory node {node} is out of range")))?;
        *word |= 1 << (node % 64);
    }
    set_memory_policy(mode | flags, &mask).context(|| "set memory policy")
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

/// The numbers of a list like `0-3,7`.
fn parse_list(list: &str) -> Result<Vec<usize>> {
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
    fn lists_are_ranges_and_numbers() {
        assert_eq!(parse_list("0-2, 7,").unwrap(), [0, 1, 2, 7]);
        for bad in ["a", "3-1", "1-", "0-99999999"] {
            assert!(parse_list(bad).is_err(), "{bad}");
        }
    }
}
