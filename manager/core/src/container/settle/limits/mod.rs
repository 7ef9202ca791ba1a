//! Limits: which make sense, and which this host can't keep.

mod block_io;
mod cpu;
mod means;
mod memory;
mod ulimits;

use crate::container::resources::Resources;
use crate::error::{Error, Result};

pub(super) use means::Means;
pub(super) use ulimits::fill_in;

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
    memory::settle(resources, means, &mut warnings)?;
    cpu::settle(resources, means, &mut warnings)?;
    cpu::check_realtime(resources, means)?;
    if resources.pids_limit.is_some() && !means.pids {
        if resources.pids_limit > Some(0) {
            warn(
                &mut warnings,
                "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            );
        }
        resources.pids_limit = None;
    }
    block_io::settle(resources, means, &mut warnings)?;
    ulimits::check(&resources.ulimits)?;
    Ok(warnings)
}

fn warn(warnings: &mut Vec<String>, text: &str) {
    warnings.push(text.to_owned());
}

#[cfg(test)]
mod tests {
    use super::cpu::WHOLE_CPU;
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
