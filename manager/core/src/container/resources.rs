//! What a container may use of the machine: limits, devices and ulimits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Limits by docker's `Resources`. 0, an empty string or `None` means "not said".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Memory in bytes.
    pub memory: i64,
    /// Memory and swap together in bytes; -1: as much swap as there is.
    pub memory_swap: i64,
    /// Memory in bytes that reclaim tries to keep it to when memory is scarce.
    pub memory_reservation: i64,
    /// 0 to 100; -1 or `None`: the host's.
    pub memory_swappiness: Option<i64>,
    /// Stop the program instead of killing it when memory runs out (cgroup v1).
    pub oom_kill_disable: Option<bool>,
    /// CPUs in billionths.
    pub nano_cpus: i64,
    /// Weight of CPU time against other containers.
    pub cpu_shares: i64,
    /// CFS period in microseconds.
    pub cpu_period: i64,
    /// CFS quota in microseconds.
    pub cpu_quota: i64,
    /// Real-time period in microseconds.
    pub cpu_realtime_period: i64,
    /// Real-time quota in microseconds.
    pub cpu_realtime_runtime: i64,
    /// CPUs it may run on: `0-2,4`.
    pub cpuset_cpus: String,
    /// Memory nodes it may use.
    pub cpuset_mems: String,
    /// Weight of block I/O against other containers, 10 to 1000.
    pub blkio_weight: u16,
    /// The same of one device.
    pub blkio_weight_devices: Vec<DeviceWeight>,
    /// The most that it reads from a device, in bytes a second.
    pub blkio_read_bps: Vec<DeviceRate>,
    /// The most that it writes to a device, in bytes a second.
    pub blkio_write_bps: Vec<DeviceRate>,
    /// How often it reads from a device in a second.
    pub blkio_read_iops: Vec<DeviceRate>,
    /// How often it writes to a device in a second.
    pub blkio_write_iops: Vec<DeviceRate>,
    /// Number of processes and threads; `None`, 0 and -1: no limit.
    pub pids_limit: Option<i64>,
    /// The cgroup under which it gets its own; empty: the manager's.
    pub cgroup_parent: String,
    /// Devices of the host.
    pub devices: Vec<DeviceMapping>,
    /// Rules for the device cgroup: `c 1:3 rwm`.
    pub device_cgroup_rules: Vec<String>,
    /// Devices that a driver finds.
    pub device_requests: Vec<DeviceRequest>,
    /// Resource limits of its processes.
    pub ulimits: Vec<Ulimit>,
}

/// A device of the host inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMapping {
    /// The device, or a directory of devices.
    pub host_path: String,
    /// Its path inside.
    pub container_path: String,
    /// What may be done with it: letters of `rwm`.
    pub permissions: String,
}

/// A weight of block I/O.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWeight {
    /// The device.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}

/// A limit on block I/O.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// The device.
    pub path: String,
    /// So much a second.
    pub rate: u64,
}

/// Devices by what they are to be able to do, or by the names that a driver has for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// Who finds them: `cdi`; empty: whoever can.
    pub driver: String,
    /// How many; -1: all.
    pub count: i64,
    /// Their names.
    pub ids: Vec<String>,
    /// Any of these sets.
    pub capabilities: Vec<Vec<String>>,
    /// For the driver.
    pub options: BTreeMap<String, String>,
}

/// A resource limit by its name without `RLIMIT_` and in lower case: `nofile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Which one.
    pub name: String,
    /// What a process has; -1: no limit.
    pub soft: i64,
    /// How far it may raise that; -1: no limit.
    pub hard: i64,
}
