//! The kernel's resource controllers, by the names that each version of cgroups gives them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A resource controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Controller {
    /// CPU time.
    Cpu,
    /// Accounting of CPU time; on v2 a part of `cpu`.
    Cpuacct,
    /// Which CPUs and memory nodes.
    Cpuset,
    /// Memory and swap.
    Memory,
    /// Number of tasks.
    Pids,
    /// Block devices: `blkio` on v1, `io` on v2.
    Io,
    /// Huge pages.
    Hugetlb,
    /// Class of network packets; v1 only.
    NetCls,
    /// Priority of network packets; v1 only.
    NetPrio,
    /// Performance counters by cgroup.
    PerfEvent,
    /// Access to device nodes; on v2 an eBPF program.
    Devices,
    /// Stopping and continuing; on v2 a file of every cgroup.
    Freezer,
    /// RDMA resources.
    Rdma,
    /// Other countable resources.
    Misc,
}

impl Controller {
    const ALL: [Controller; 14] = [
        Controller::Cpu,
        Controller::Cpuacct,
        Controller::Cpuset,
        Controller::Memory,
        Controller::Pids,
        Controller::Io,
        Controller::Hugetlb,
        Controller::NetCls,
        Controller::NetPrio,
        Controller::PerfEvent,
        Controller::Devices,
        Controller::Freezer,
        Controller::Rdma,
        Controller::Misc,
    ];

    /// What v1 calls this controller, in `/proc/PID/cgroup` and in mount options.
    pub(crate) fn v1_name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
            Controller::Cpuset => "cpuset",
            Controller::Memory => "memory",
            Controller::Pids => "pids",
            Controller::Io => "blkio",
            Controller::Hugetlb => "hugetlb",
            Controller::NetCls => "net_cls",
            Controller::NetPrio => "net_prio",
            Controller::PerfEvent => "perf_event",
            Controller::Devices => "devices",
            Controller::Freezer => "freezer",
            Controller::Rdma => "rdma",
            Controller::Misc => "misc",
        }
    }

    /// What v2 calls this controller in `cgroup.controllers`, if it is one there.
    pub(crate) fn v2_name(self) -> Option<&'static str> {
        match self {
            Controller::Io => Some("io"),
            Controller::Cpu
            | Controller::Cpuset
            | Controller::Memory
            | Controller::Pids
            | Controller::Hugetlb
            | Controller::Rdma
            | Controller::Misc => Some(self.v1_name()),
            Controller::Cpuacct
            | Controller::NetCls
            | Controller::NetPrio
            | Controller::PerfEvent
            | Controller::Devices
            | Controller::Freezer => None,
        }
    }

    /// The controller that v1 calls `name`.
    pub(crate) fn from_v1_name(name: &str) -> Option<Controller> {
        Controller::ALL.into_iter().find(|controller| controller.v1_name() == name)
    }

    /// The controller that v2 calls `name`.
    pub(crate) fn from_v2_name(name: &str) -> Option<Controller> {
        Controller::ALL.into_iter().find(|controller| controller.v2_name() == Some(name))
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.v1_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_controller() {
        for controller in Controller::ALL {
            assert_eq!(Controller::from_v1_name(controller.v1_name()), Some(controller));
            if let Some(name) = controller.v2_name() {
                assert_eq!(Controller::from_v2_name(name), Some(controller));
            }
        }
        assert_eq!(Controller::from_v1_name("name=systemd"), None);
        assert_eq!(Controller::from_v2_name("blkio"), None);
    }
}
