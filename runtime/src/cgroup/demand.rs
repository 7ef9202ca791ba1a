//! Which controllers a request for resources needs, so that one without its controller is refused
//! by name instead of being forgotten.

use oci_spec::runtime::LinuxResources;

use super::controller::Controller;

/// One option of the request and the controller that carries it out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Demand {
    /// The option, as `config.json` calls it.
    pub(super) option: &'static str,
    /// What it needs.
    pub(super) controller: Controller,
}

/// Every option of `resources` that is set to something, except the device rules: those are part
/// of every container and have their own path.
pub(super) fn demands(resources: &LinuxResources) -> Vec<Demand> {
    let mut found = Vec::new();
    let mut want = |set: bool, option: &'static str, controller: Controller| {
        if set {
            found.push(Demand { option, controller });
        }
    };
    if let Some(memory) = resources.memory() {
        let set = |value: Option<i64>| value.is_some_and(|value| value != 0);
        want(set(memory.limit()), "memory.limit", Controller::Memory);
        want(set(memory.reservation()), "memory.reservation", Controller::Memory);
        want(set(memory.swap()), "memory.swap", Controller::Memory);
        #[allow(deprecated)] // Asked for all the same, so it has to be answered.
        want(set(memory.kernel()), "memory.kernel", Controller::Memory);
        want(set(memory.kernel_tcp()), "memory.kernelTCP", Controller::Memory);
        want(
            memory.swappiness().is_some_and(|value| value != u64::MAX),
            "memory.swappiness",
            Controller::Memory,
        );
        want(
            memory.disable_oom_killer() == Some(true),
            "memory.disableOOMKiller",
            Controller::Memory,
        );
    }
    if let Some(cpu) = resources.cpu() {
        let text = |value: &Option<String>| value.as_ref().is_some_and(|list| !list.is_empty());
        want(cpu.shares().is_some_and(|shares| shares != 0), "cpu.shares", Controller::Cpu);
        want(cpu.quota().is_some_and(|quota| quota != 0), "cpu.quota", Controller::Cpu);
        want(cpu.period().is_some_and(|period| period != 0), "cpu.period", Controller::Cpu);
        want(cpu.burst().is_some(), "cpu.burst", Controller::Cpu);
        want(cpu.idle().is_some(), "cpu.idle", Controller::Cpu);
        want(
            cpu.realtime_runtime().is_some_and(|runtime| runtime != 0),
            "cpu.realtimeRuntime",
            Controller::Cpu,
        );
        want(
            cpu.realtime_period().is_some_and(|period| period != 0),
            "cpu.realtimePeriod",
            Controller::Cpu,
        );
        want(text(cpu.cpus()), "cpu.cpus", Controller::Cpuset);
        want(text(cpu.mems()), "cpu.mems", Controller::Cpuset);
    }
    want(resources.pids().is_some(), "pids.limit", Controller::Pids);
    if let Some(io) = resources.block_io() {
        let list = |set: Option<usize>| set.is_some_and(|length| length > 0);
        let weight = |value: Option<u16>| value.is_some_and(|value| value != 0);
        want(weight(io.weight()), "blockIO.weight", Controller::Io);
        want(weight(io.leaf_weight()), "blockIO.leafWeight", Controller::Io);
        want(
            list(io.weight_device().as_ref().map(Vec::len)),
            "blockIO.weightDevice",
            Controller::Io,
        );
        for (throttle, option) in [
            (io.throttle_read_bps_device(), "blockIO.throttleReadBpsDevice"),
            (io.throttle_write_bps_device(), "blockIO.throttleWriteBpsDevice"),
            (io.throttle_read_iops_device(), "blockIO.throttleReadIOPSDevice"),
            (io.throttle_write_iops_device(), "blockIO.throttleWriteIOPSDevice"),
        ] {
            want(list(throttle.as_ref().map(Vec::len)), option, Controller::Io);
        }
    }
    want(
        resources.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty()),
        "hugepageLimits",
        Controller::Hugetlb,
    );
    if let Some(network) = resources.network() {
        want(network.class_id().is_some_and(|id| id != 0), "network.classID", Controller::NetCls);
        want(
            network.priorities().as_ref().is_some_and(|list| !list.is_empty()),
            "network.priorities",
            Controller::NetPrio,
        );
    }
    want(
        resources.rdma().as_ref().is_some_and(|devices| !devices.is_empty()),
        "rdma",
        Controller::Rdma,
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> Vec<&'static str> {
        let resources: LinuxResources = serde_json::from_str(json).unwrap();
        demands(&resources).iter().map(|demand| demand.option).collect()
    }

    #[test]
    fn what_is_unset_or_zero_demands_nothing() {
        assert_eq!(options("{}"), Vec::<&str>::new());
        let zeros = r#"{
            "memory": {"limit": 0, "swap": 0, "disableOOMKiller": false},
            "cpu": {"shares": 0, "quota": 0, "cpus": "", "realtimePeriod": 0},
            "blockIO": {"weight": 0, "weightDevice": []},
            "hugepageLimits": [], "network": {"classID": 0}, "rdma": {}
        }"#;
        assert_eq!(options(zeros), Vec::<&str>::new());
    }

    #[test]
    fn each_option_has_its_name() {
        let all = r#"{
            "memory": {"limit": -1, "swappiness": 0},
            "cpu": {"cpus": "0-1", "idle": 0},
            "pids": {"limit": -1},
            "blockIO": {"throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 5}]},
            "network": {"priorities": [{"name": "lo", "priority": 1}]}
        }"#;
        assert_eq!(
            options(all),
            [
                "memory.limit",
                "memory.swappiness",
                "cpu.idle",
                "cpu.cpus",
                "pids.limit",
                "blockIO.throttleReadIOPSDevice",
                "network.priorities"
            ]
        );
    }
}
