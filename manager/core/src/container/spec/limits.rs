//! Limits in the runtime's words.

use super::document::{BlockIo, Cpu, Memory, Pids};
use crate::container::resources::Resources;

/// The period of the CFS quota that `--cpus` is turned into, in microseconds.
const PERIOD: u64 = 100_000;
/// Billionths of a CPU in one.
const WHOLE_CPU: i64 = 1_000_000_000;

/// The limits on memory, if there are any.
pub(crate) fn memory(resources: &Resources) -> Option<Memory> {
    let positive = |value: i64| Some(value).filter(|value| *value > 0);
    let memory = Memory {
        limit: positive(resources.memory),
        reservation: positive(resources.memory_reservation),
        // -1 is what a new cgroup has, and some hosts can't even be told so.
        swap: positive(resources.memory_swap),
        swappiness: resources.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: resources.oom_kill_disable.filter(|disable| *disable),
    };
    Some(memory).filter(|memory| *memory != Memory::default())
}

/// The limits on processor time, if there are any.
pub(crate) fn cpu(resources: &Resources) -> Option<Cpu> {
    let unsigned = |value: i64| u64::try_from(value).ok().filter(|value| *value != 0);
    let signed = |value: i64| Some(value).filter(|value| *value != 0);
    let mut cpu = Cpu {
        shares: unsigned(resources.cpu_shares),
        quota: signed(resources.cpu_quota),
        period: unsigned(resources.cpu_period),
        realtime_runtime: signed(resources.cpu_realtime_runtime),
        realtime_period: unsigned(resources.cpu_realtime_period),
        cpus: resources.cpuset_cpus.clone(),
        mems: resources.cpuset_mems.clone(),
    };
    if resources.nano_cpus > 0 {
        let share = i128::from(resources.nano_cpus) * i128::from(PERIOD) / i128::from(WHOLE_CPU);
        cpu.period = Some(PERIOD);
        cpu.quota = i64::try_from(share).ok();
    }
    Some(cpu).filter(|cpu| *cpu != Cpu::default())
}

/// The limit on the number of processes, if there is one.
pub(crate) fn pids(resources: &Resources) -> Option<Pids> {
    resources.pids_limit.map(|limit| Pids { limit: if limit <= 0 { -1 } else { limit } })
}

/// The weight of block I/O, if one is set.
pub(crate) fn block_io(resources: &Resources) -> Option<BlockIo> {
    Some(resources.blkio_weight).filter(|weight| *weight > 0).map(|weight| BlockIo { weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_become_a_quota() {
        let resources = Resources { nano_cpus: WHOLE_CPU / 2, ..Resources::default() };
        let cpu = cpu(&resources).unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(50_000), Some(100_000)));
    }

    #[test]
    fn only_what_is_said_is_limited() {
        let nothing = Resources::default();
        assert_eq!((memory(&nothing), pids(&nothing)), (None, None));
        let unlimited = Resources { memory_swap: -1, pids_limit: Some(0), ..nothing };
        assert_eq!(memory(&unlimited), None);
        assert_eq!(pids(&unlimited), Some(Pids { limit: -1 }));
    }
}
