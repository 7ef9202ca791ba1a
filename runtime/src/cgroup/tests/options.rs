//! Every option of `linux.resources`: set as a container is made, changed afterwards, and read back
//! from the kernel each time. What this host has no controller or no file for has to be refused by
//! name.

use super::super::convert;
use super::*;

/// One option on its own and what the kernel says after it.
struct Case {
    /// What is asked for, twice: at first and later.
    asked: [String; 2],
    controller: Controller,
    /// The files on v1, of which the first that is there holds it, and what that is.
    v1: Vec<(&'static str, [String; 2])>,
    /// The same for v2.
    v2: Vec<(&'static str, [String; 2])>,
}

fn case(
    controller: Controller,
    asked: [&str; 2],
    v1: Option<(&'static str, [&str; 2])>,
    v2: Option<(&'static str, [&str; 2])>,
) -> Case {
    let file = |(name, held): (&'static str, [&str; 2])| (name, held.map(str::to_owned));
    Case {
        asked: asked.map(str::to_owned),
        controller,
        v1: v1.map(file).into_iter().collect(),
        v2: v2.map(file).into_iter().collect(),
    }
}

fn cases() -> Vec<Case> {
    use Controller::{Cpu, Cpuset, Hugetlb, Memory, NetCls, NetPrio, Pids};
    let weights = [512, 2048].map(|shares| convert::cpu_weight(shares).unwrap().to_string());
    let weights = [weights[0].as_str(), weights[1].as_str()];
    let mut all = vec![
        case(
            Memory,
            [r#""memory": {"limit": 67108864}"#, r#""memory": {"limit": 134217728}"#],
            Some(("memory.limit_in_bytes", ["67108864", "134217728"])),
            Some(("memory.max", ["67108864", "134217728"])),
        ),
        case(
            Memory,
            [r#""memory": {"reservation": 33554432}"#, r#""memory": {"reservation": 16777216}"#],
            Some(("memory.soft_limit_in_bytes", ["33554432", "16777216"])),
            Some(("memory.low", ["33554432", "16777216"])),
        ),
        case(
            Memory,
            [
                r#""memory": {"limit": 67108864, "swap": 134217728}"#,
                r#""memory": {"limit": 33554432, "swap": 33554432}"#,
            ],
            Some(("memory.memsw.limit_in_bytes", ["134217728", "33554432"])),
            Some(("memory.swap.max", ["67108864", "0"])),
        ),
        case(
            Memory,
            [r#""memory": {"swappiness": 10}"#, r#""memory": {"swappiness": 0}"#],
            Some(("memory.swappiness", ["10", "0"])),
            None,
        ),
        case(
            Memory,
            [r#""memory": {"kernelTCP": 1048576}"#, r#""memory": {"kernelTCP": 2097152}"#],
            Some(("memory.kmem.tcp.limit_in_bytes", ["1048576", "2097152"])),
            None,
        ),
        case(
            Cpu,
            [r#""cpu": {"shares": 512}"#, r#""cpu": {"shares": 2048}"#],
            Some(("cpu.shares", ["512", "2048"])),
            Some(("cpu.weight", weights)),
        ),
        case(
            Cpu,
            [r#""cpu": {"quota": 20000}"#, r#""cpu": {"quota": -1}"#],
            Some(("cpu.cfs_quota_us", ["20000", "-1"])),
            Some(("cpu.max", ["20000 100000", "max 100000"])),
        ),
        case(
            Cpu,
            [r#""cpu": {"period": 50000}"#, r#""cpu": {"period": 20000, "quota": 10000}"#],
            Some(("cpu.cfs_period_us", ["50000", "20000"])),
            Some(("cpu.max", ["max 50000", "10000 20000"])),
        ),
        case(
            Cpu,
            [r#""cpu": {"quota": 20000, "burst": 10000}"#, r#""cpu": {"burst": 0}"#],
            Some(("cpu.cfs_burst_us", ["10000", "0"])),
            Some(("cpu.max.burst", ["10000", "0"])),
        ),
        case(
            Cpu,
            [r#""cpu": {"idle": 1}"#, r#""cpu": {"idle": 0}"#],
            Some(("cpu.idle", ["1", "0"])),
            Some(("cpu.idle", ["1", "0"])),
        ),
        case(
            Cpu,
            [r#""cpu": {"realtimePeriod": 500000}"#, r#""cpu": {"realtimePeriod": 700000}"#],
            Some(("cpu.rt_period_us", ["500000", "700000"])),
            None,
        ),
        case(
            Cpuset,
            [r#""cpu": {"cpus": "0"}"#, r#""cpu": {"cpus": "0-0"}"#],
            Some(("cpuset.cpus", ["0", "0"])),
            Some(("cpuset.cpus", ["0", "0"])),
        ),
        case(
            Cpuset,
            [r#""cpu": {"mems": "0"}"#, r#""cpu": {"mems": "0-0"}"#],
            Some(("cpuset.mems", ["0", "0"])),
            Some(("cpuset.mems", ["0", "0"])),
        ),
        case(
            Pids,
            [r#""pids": {"limit": 25}"#, r#""pids": {"limit": -1}"#],
            Some(("pids.max", ["25", "max"])),
            Some(("pids.max", ["25", "max"])),
        ),
        case(
            Hugetlb,
            [
                r#""hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]"#,
                r#""hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}]"#,
            ],
            Some(("hugetlb.2MB.rsvd.limit_in_bytes", ["4194304", "2097152"])),
            Some(("hugetlb.2MB.rsvd.max", ["4194304", "2097152"])),
        ),
        case(
            NetCls,
            [r#""network": {"classID": 1048577}"#, r#""network": {"classID": 1048578}"#],
            Some(("net_cls.classid", ["1048577", "1048578"])),
            None,
        ),
        case(
            NetPrio,
            [
                r#""network": {"priorities": [{"name": "lo", "priority": 5}]}"#,
                r#""network": {"priorities": [{"name": "lo", "priority": 6}]}"#,
            ],
            Some(("net_prio.ifpriomap", ["lo 5", "lo 6"])),
            None,
        ),
    ];
    all.extend(block_cases());
    all
}

/// Those of a disk of this host, if it has one.
fn block_cases() -> Vec<Case> {
    let mut weight = case(
        Controller::Io,
        [r#""blockIO": {"weight": 200}"#, r#""blockIO": {"weight": 300}"#],
        Some(("blkio.bfq.weight", ["200", "300"])),
        Some(("io.bfq.weight", ["default 200", "default 300"])),
    );
    // Without the BFQ scheduler there may be iocost, with a scale of its own.
    let converted = [200, 300].map(|weight| format!("default {}", convert::io_weight(weight)));
    weight.v2.push(("io.weight", converted));
    let Some((major, minor)) = disk() else { return vec![weight] };
    let rate = |option: &str, rate: u32| {
        format!(
            r#""blockIO": {{"{option}": [{{"major": {major}, "minor": {minor}, "rate": {rate}}}]}}"#
        )
    };
    let mut all = vec![weight];
    for (option, v1, key) in [
        ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
        ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
        ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
        ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
    ] {
        let rates = [1_048_576, 2_097_152];
        all.push(Case {
            asked: rates.map(|value| rate(option, value)),
            controller: Controller::Io,
            v1: vec![(v1, rates.map(|value| format!("{major}:{minor} {value}")))],
            v2: vec![("io.max", rates.map(|value| format!("{key}={value}")))],
        });
    }
    all
}

/// The numbers of a whole disk; not all drivers take limits, and loop devices do.
fn disk() -> Option<(String, String)> {
    std::fs::read_dir("/sys/block").unwrap().flatten().find_map(|disk| {
        let numbers = std::fs::read_to_string(disk.path().join("dev")).ok()?;
        let (major, minor) = numbers.trim().split_once(':')?;
        Some((major.to_owned(), minor.to_owned()))
    })
}

/// Where the option is to be found in `cgroup`, and what it is to be there.
fn place<'a>(
    cgroup: &'a Cgroup,
    case: &'a Case,
) -> Option<(&'a Path, &'static str, &'a [String; 2])> {
    let group = cgroup.groups.iter().find(|group| group.driver().has(case.controller))?;
    let place = if group.v2().is_some() { &case.v2 } else { &case.v1 };
    let directory = group.driver().directory();
    let (name, held) = place.iter().find(|(name, _)| directory.join(name).exists())?;
    Some((directory, *name, held))
}

#[test]
fn every_option_reaches_the_kernel_or_is_refused_by_name() {
    let Some(parent) = Parent::new() else { return };
    let mut set = 0;
    for case in cases() {
        let [first, second] = case.asked.clone().map(|asked| format!("{{{asked}}}"));
        let cgroup = match parent.create(&first) {
            Ok(cgroup) => cgroup,
            Err(error) => {
                let probe = parent.create("{}").unwrap();
                assert!(place(&probe, &case).is_none(), "{first}: {error}");
                probe.remove().unwrap();
                let group = first.split('"').nth(1).unwrap();
                assert!(error.to_string().contains(group), "{first}: {error}");
                continue;
            }
        };
        let (directory, name, held) = place(&cgroup, &case).expect(&first);
        let text = || file::read(directory, name).unwrap();
        // Some files have one line, others one for each device or interface, with several fields.
        let holds = |wanted: &String| {
            let text = text();
            text.lines().any(|line| line == wanted || line.split(' ').any(|field| field == wanted))
        };
        assert!(holds(&held[0]), "{first}: {name} holds {:?}", text());
        cgroup.update(&serde_json::from_str(&second).unwrap()).unwrap();
        assert!(holds(&held[1]), "{second}: {name} holds {:?}", text());
        set += 1;
        cgroup.remove().unwrap();
    }
    assert!(set > 10, "only {set} options could be set");
}

#[test]
fn the_killer_can_be_switched_off_and_on_where_it_can() {
    let Some(parent) = Parent::new() else { return };
    let cgroup = match parent.create(r#"{"memory": {"disableOOMKiller": true}}"#) {
        Ok(cgroup) => cgroup,
        Err(error) => {
            assert!(error.to_string().contains("memory.disableOOMKiller"), "{error}");
            return;
        }
    };
    let disabled = || {
        let text = file::read(cgroup.path_in("memory").unwrap(), "memory.oom_control").unwrap();
        text.lines().any(|line| line == "oom_kill_disable 1")
    };
    assert!(disabled());
    let on = r#"{"memory": {"disableOOMKiller": false}}"#;
    cgroup.update(&serde_json::from_str(on).unwrap()).unwrap();
    assert!(!disabled());
    cgroup.remove().unwrap();
}
