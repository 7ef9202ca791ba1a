//! What this host can limit.

use crate::host::{Cgroups, Controller};

/// What this host can limit.
#[derive(Debug, Clone)]
pub(in super::super) struct Means {
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
    pub(in super::super) fn of(cgroups: &Cgroups) -> Self {
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
