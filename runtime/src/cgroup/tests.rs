//! Real cgroups on the host that the tests run on. Each test works below a cgroup of its own name
//! and removes it; without root there is nothing to test.

mod options;
mod unified;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::error::Kind;

/// A parent cgroup of this test alone, removed on every hierarchy when the test ends.
struct Parent {
    path: String,
    children: Vec<Child>,
}

impl Parent {
    fn new() -> Option<Parent> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/tare-test-{}-{number}", std::process::id());
        Some(Parent { path, children: Vec::new() })
    }

    fn create(&self, resources: &str) -> Result<Cgroup> {
        let resources: LinuxResources = serde_json::from_str(resources).unwrap();
        Cgroup::create(&Request {
            container_id: "box",
            cgroups_path: Some(&format!("{}/box", self.path)),
            systemd: false,
            rootless: false,
            resources: Some(&resources),
            annotations: &BTreeMap::new(),
            owner: None,
        })
    }

    /// Starts a shell inside `cgroup`.
    fn start(&mut self, cgroup: &Cgroup, script: &str) -> u32 {
        // It waits for its standard input to end before it goes on.
        let mut command = Command::new("sh");
        command.args(["-c", &format!("read go; {script}")]);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        for group in &cgroup.groups {
            file::write(group.driver().directory(), "cgroup.procs", &child.id().to_string())
                .unwrap();
        }
        drop(child.stdin.take());
        let pid = child.id();
        self.children.push(child);
        pid
    }

    fn reap(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.children.clear();
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let hierarchies = hierarchy::detect().unwrap();
        let own: Vec<PathBuf> = hierarchies
            .iter()
            .map(|hierarchy| hierarchy.mount_point.join(self.path.trim_start_matches('/')))
            .collect();
        for directory in &own {
            let _ = thaw_box(directory);
            for pid in processes::pids(directory, true).unwrap_or_default() {
                let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        self.reap();
        let _ = remove::remove(own.iter().map(PathBuf::as_path));
    }
}

fn thaw_box(directory: &Path) -> Result<()> {
    file::write_if_there(&directory.join("box"), "freezer.state", "THAWED")?;
    file::write_if_there(&directory.join("box"), "cgroup.freeze", "0").map(drop)
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn value(cgroup: &Cgroup, controller: &str, names: [&str; 2]) -> String {
    let directory = cgroup.path_in(controller).unwrap();
    let name = if directory.join(names[0]).exists() { names[0] } else { names[1] };
    file::read(directory, name).unwrap()
}

#[test]
fn limits_are_set_changed_and_counted() {
    let Some(parent) = Parent::new() else { return };
    let cgroup = parent
        .create(
            r#"{
                "memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432},
                "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
                "pids": {"limit": 25},
                "devices": [{"allow": false, "access": "rwm"}]
            }"#,
        )
        .unwrap();
    let memory = ["memory.limit_in_bytes", "memory.max"];
    assert_eq!(value(&cgroup, "memory", memory), "67108864");
    assert_eq!(value(&cgroup, "pids", ["pids.max", "pids.max"]), "25");
    assert_eq!(value(&cgroup, "cpu", ["cpu.cfs_quota_us", "cpu.max"])[..5], *"50000");
    assert_eq!(value(&cgroup, "cpuset", ["cpuset.cpus", "cpuset.cpus"]), "0");

    // Both limits up, then both down: each order would fail if memory came first or last always.
    for limit in [268_435_456_i64, 33_554_432, 134_217_728] {
        let update = format!(r#"{{"memory": {{"limit": {limit}, "swap": {}}}}}"#, limit * 2);
        cgroup.update(&serde_json::from_str(&update).unwrap()).unwrap();
        assert_eq!(value(&cgroup, "memory", memory), limit.to_string());
    }
    cgroup.update(&serde_json::from_str(r#"{"memory": {"limit": -1}}"#).unwrap()).unwrap();
    cgroup.update(&serde_json::from_str(r#"{"pids": {"limit": -1}}"#).unwrap()).unwrap();
    assert_eq!(value(&cgroup, "pids", ["pids.max", "pids.max"]), "max");
    assert_eq!(value(&cgroup, "cpuset", ["cpuset.cpus", "cpuset.cpus"]), "0", "not named, kept");

    let stats = cgroup.stats().unwrap();
    assert!(stats.memory.raw.len() > 5);
    assert_eq!(stats.pids.limit, 0);
    cgroup.remove().unwrap();
    assert_eq!(cgroup.pids(true).unwrap(), Vec::<u32>::new());
    cgroup.remove().unwrap();
}

#[test]
fn an_update_that_fails_changes_nothing() {
    let Some(parent) = Parent::new() else { return };
    let device = std::fs::read_dir("/sys/block").unwrap().flatten().find_map(|disk| {
        let numbers = std::fs::read_to_string(disk.path().join("dev")).ok()?;
        let (major, minor) = numbers.trim().split_once(':')?;
        Some(format!(r#"{{"major": {major}, "minor": {minor}, "rate": 1048576}}"#))
    });
    let throttled = |option: &str| match &device {
        Some(device) => format!(r#""blockIO": {{"{option}": [{device}]}},"#),
        None => String::new(),
    };
    let cgroup = parent
        .create(&format!(
            r#"{{{} "memory": {{"limit": 67108864, "swap": 67108864}}, "pids": {{"limit": 20}},
                "cpu": {{"shares": 500, "quota": 20000, "period": 50000}}}}"#,
            throttled("throttleReadBpsDevice")
        ))
        .unwrap();
    let everything = || -> Vec<(PathBuf, String)> {
        let mut files = Vec::new();
        for group in &cgroup.groups {
            let directory = group.driver().directory();
            for entry in std::fs::read_dir(directory).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                let limits = ["cpu.", "cpuset.", "memory.", "pids.", "blkio.", "io."];
                let counts = ["stat", "usage", "current", "peak", "pressure", "events"];
                if limits.iter().any(|start| name.starts_with(start))
                    && !counts.iter().any(|part| name.contains(part))
                    && let Ok(text) = file::try_read(directory, &name)
                {
                    files.push((entry.path(), text));
                }
            }
        }
        files.sort();
        files
    };
    let before = everything();
    for last in
        [r#""cpu": {"quota": 1, "shares": 700}"#, r#""cpu": {"quota": 5000, "cpus": "4095"}"#]
    {
        let update = format!(
            r#"{{{} "pids": {{"limit": 30}}, "memory": {{"limit": 134217728, "swap": 268435456,
                "reservation": 1048576}}, {last}}}"#,
            throttled("throttleWriteBpsDevice"),
        );
        let error = cgroup.update(&serde_json::from_str(&update).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("failed to write"), "{error}");
        assert_eq!(everything(), before, "{update}");
    }
    cgroup.remove().unwrap();
}

#[test]
fn a_thread_enters_and_is_counted() {
    let Some(parent) = Parent::new() else { return };
    let cgroup = parent.create("{}").unwrap();
    let entry = cgroup.entry().unwrap();
    let after = std::thread::spawn(move || {
        entry.join_self().unwrap();
        std::fs::read_to_string("/proc/thread-self/cgroup").unwrap()
    })
    .join()
    .unwrap();
    for line in after.lines().filter(|line| !line.starts_with("0:")) {
        let known = line
            .split(':')
            .nth(1)
            .unwrap()
            .split(',')
            .any(|name| Controller::from_v1_name(name).is_some() || name == "name=systemd");
        assert_eq!(line.ends_with("/box"), known, "{line}");
    }
    cgroup.remove().unwrap();
}

#[test]
fn processes_are_listed_frozen_and_killed() {
    let Some(mut parent) = Parent::new() else { return };
    let cgroup = parent.create("{}").unwrap();
    let pid = parent.start(&cgroup, "sleep 60 & sleep 60 & wait");
    eventually("two sleeps run", || cgroup.pids(false).unwrap().len() == 3);
    assert!(cgroup.pids(true).unwrap().contains(&pid));

    assert!(!cgroup.is_frozen().unwrap());
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());

    // Killing works on a frozen container too, and ends its stop.
    cgroup.freeze().unwrap();
    cgroup.kill_all(libc::SIGKILL).unwrap();
    parent.reap();
    eventually("all are gone", || cgroup.pids(true).unwrap().is_empty());
    cgroup.remove().unwrap();
}

/// Whoever waits for a container's end removes its cgroup while others still look at it.
#[test]
fn a_cgroup_that_goes_while_it_is_read_is_gone_and_not_frozen() {
    let Some(parent) = Parent::new() else { return };
    let cgroup = parent.create("{}").unwrap();
    let directory = cgroup.with(Controller::Freezer).unwrap().directory().to_path_buf();
    let open = std::fs::File::open(directory.join("cgroup.procs")).unwrap();
    cgroup.remove().unwrap();
    let error = file::read_open(open.as_fd()).unwrap_err();
    assert!(file::is_gone(&error), "{error}");
    assert_eq!(file::read_unless_gone(&directory, "cgroup.procs").unwrap(), None);
    assert!(!cgroup.is_frozen().unwrap());
}

#[test]
fn a_signal_other_than_kill_reaches_each_process() {
    let Some(mut parent) = Parent::new() else { return };
    let cgroup = parent.create("{}").unwrap();
    parent.start(&cgroup, "trap 'exit 0' TERM; sleep 60 & while :; do wait; done");
    // Until it runs, it still has the shell's trap.
    eventually("the sleep runs", || {
        let sleeps = |pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name != "sh\n")
        };
        cgroup.pids(false).unwrap().iter().any(sleeps)
    });
    cgroup.kill_all(libc::SIGTERM).unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    let ended = parent.children[0].wait().unwrap();
    assert_eq!(ended.code(), Some(0), "the trap ran");
    eventually("all are gone", || cgroup.pids(true).unwrap().is_empty());

    // The numbers of the realtime signals have no names.
    parent.start(&cgroup, "exec sleep 60");
    cgroup.kill_all(libc::SIGRTMIN() + 3).unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(parent.children[1].wait().unwrap().signal(), Some(libc::SIGRTMIN() + 3));
    cgroup.kill_all(1000).unwrap();
    parent.start(&cgroup, "exec sleep 60");
    assert!(cgroup.kill_all(1000).unwrap_err().to_string().contains("invalid argument"));
}

#[test]
fn what_the_container_made_inside_is_seen_and_removed() {
    let Some(mut parent) = Parent::new() else { return };
    let cgroup = parent.create("{}").unwrap();
    let pid = parent.start(&cgroup, "exec sleep 60");
    for group in &cgroup.groups {
        let inner = group.driver().directory().join("inner/most");
        std::fs::create_dir_all(&inner).unwrap();
        // An inner v1 cpuset takes no process before it has CPUs.
        if matches!(group, Group::V1(_)) && group.driver().has(Controller::Cpuset) {
            continue;
        }
        file::write(&inner, "cgroup.procs", &pid.to_string()).unwrap();
    }
    assert!(!cgroup.pids(false).unwrap().contains(&pid));
    assert!(cgroup.pids(true).unwrap().contains(&pid));
    let error = cgroup.clone().remove().unwrap_err();
    assert!(error.to_string().contains("device or resource busy"), "{error}");
    cgroup.kill_all(libc::SIGKILL).unwrap();
    parent.reap();
    cgroup.remove().unwrap();
    assert!(!cgroup.populated().unwrap().exists());
}

#[test]
fn an_occupied_cgroup_is_not_taken_over() {
    let Some(mut parent) = Parent::new() else { return };
    let cgroup = parent.create("{}").unwrap();
    // Left over but empty is fine.
    assert_eq!(parent.create("{}").unwrap(), cgroup);
    parent.start(&cgroup, "exec sleep 60");
    let error = parent.create("{}").unwrap_err();
    assert_eq!(error.kind(), Kind::State);
    assert!(error.to_string().contains("container's cgroup is not empty: 1 process"), "{error}");
}

#[test]
fn a_failed_create_leaves_nothing() {
    let Some(parent) = Parent::new() else { return };
    for (resources, reason) in [
        (r#"{"cpu": {"cpus": "4095"}}"#, "cpuset.cpus"),
        (r#"{"memory": {"swappiness": 101}}"#, "swappiness"),
        (r#"{"rdma": {"mlx4_0": {"hcaHandles": 2}}}"#, "rdma"),
        (r#"{"devices": [{"allow": true, "type": "c", "access": "x"}]}"#, "access"),
        (r#"{"unified": {"no/slash": "1"}}"#, "unified"),
    ] {
        let error = parent.create(resources).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        for hierarchy in hierarchy::detect().unwrap() {
            let left = hierarchy.mount_point.join(parent.path.trim_start_matches('/'));
            assert!(!left.exists(), "{} after {error}", left.display());
        }
    }
}

#[test]
fn devices_that_are_not_listed_cannot_be_opened() {
    let Some(mut parent) = Parent::new() else { return };
    let cgroup = parent.create(r#"{"devices": [{"allow": false, "access": "rwm"}]}"#).unwrap();
    parent.start(&cgroup, "(: </dev/null) || exit 1; (: </dev/kmsg) && exit 2; exit 0");
    assert_eq!(parent.children[0].wait().unwrap().code(), Some(0));

    // One more device, and the rest as before.
    let kmsg =
        r#"{"devices": [{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]}"#;
    cgroup.update(&serde_json::from_str(kmsg).unwrap()).unwrap();
    parent.start(&cgroup, "(: </dev/kmsg) || exit 1; (: </dev/mem) && exit 2; exit 0");
    assert_eq!(parent.children[1].wait().unwrap().code(), Some(0));
}

#[test]
fn a_device_program_works_on_v2() {
    let Some(mut parent) = Parent::new() else { return };
    let mut cgroup = parent.create("{}").unwrap();
    cgroup.groups.retain(|group| matches!(group, Group::V2(_)));
    let [Group::V2(group)] = cgroup.groups.as_mut_slice() else { return };
    group.controllers = vec![Controller::Devices, Controller::Freezer];
    let everything_else = r#"[{"allow": true, "type": "a", "access": "rwm"},
        {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "r"}]"#;
    let list = DeviceList::of_container(&serde_json::from_str::<Vec<_>>(everything_else).unwrap());
    cgroup.groups[0].driver().allow_devices(&list.unwrap(), Stage::New).unwrap();
    parent.start(&cgroup, "(: </dev/kmsg) && exit 1; (: </dev/null) || exit 2; exit 0");
    assert_eq!(parent.children[0].wait().unwrap().code(), Some(0));

    // A second program takes the place of the first.
    cgroup.update(&serde_json::from_str(r#"{"devices": []}"#).unwrap()).unwrap();
    parent.start(&cgroup, "(: </dev/mem) && exit 1; (: </dev/null) || exit 2; exit 0");
    assert_eq!(parent.children[1].wait().unwrap().code(), Some(0));

    // The v2 freezer, which a hybrid host has too.
    let pid = parent.start(&cgroup, "exec sleep 60");
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    assert_eq!(cgroup.pids(false).unwrap(), [pid]);
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());
}

#[test]
fn running_out_of_memory_is_heard_of_and_so_is_the_end() {
    let Some(mut parent) = Parent::new() else { return };
    let cgroup = parent.create(r#"{"memory": {"limit": 8388608, "swap": 8388608}}"#).unwrap();
    let mut watch = cgroup.watch_memory().unwrap();
    parent.start(&cgroup, "sleep 0.2; (head -c 100m /dev/zero | tail); sleep 0.5");
    assert_eq!(watch.wait(Duration::from_millis(1)).unwrap(), oom::Heard::Nothing);
    assert_eq!(watch.wait(Duration::from_secs(20)).unwrap(), oom::Heard::OutOfMemory);
    cgroup.kill_all(libc::SIGKILL).unwrap();
    parent.reap();
    cgroup.remove().unwrap();
    // The counter of v1 may have more to tell from before.
    eventually("the end is heard", || {
        watch.wait(Duration::from_secs(5)).unwrap() == oom::Heard::Gone
    });
}

#[test]
fn a_unified_host_has_every_option_in_its_own_terms() {
    let Some(parent) = Parent::new() else { return };
    if !hierarchy::detect().unwrap().iter().all(|found| found.holds == hierarchy::Holds::V2) {
        return;
    }
    let cgroup = parent
        .create(
            r#"{"cpu": {"shares": 1024, "quota": 50000, "burst": 1000},
                "memory": {"limit": 67108864, "swap": 100663296, "reservation": 33554432},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
                "unified": {"memory.high": "50331648", "cgroup.max.depth": "5"}}"#,
        )
        .unwrap();
    for (name, expected) in [
        ("cpu.weight", "100"),
        ("cpu.max", "50000 100000"),
        ("cpu.max.burst", "1000"),
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.low", "33554432"),
        ("memory.high", "50331648"),
        ("hugetlb.2MB.max", "4194304"),
        ("cgroup.max.depth", "5"),
    ] {
        // What this kernel was built without is not there to be set.
        if let Some(value) = file::read_if_there(cgroup.populated().unwrap(), name).unwrap() {
            assert_eq!(value, expected, "{name}");
        }
    }
    let check = r#"{"memory": {"limit": 1, "checkBeforeUpdate": true}}"#;
    cgroup.update(&serde_json::from_str(check).unwrap()).unwrap();
    for refused in [
        r#"{"memory": {"swappiness": 10}}"#,
        r#"{"network": {"classID": 5}}"#,
        r#"{"cpu": {"realtimeRuntime": 5}}"#,
        r#"{"unified": {"memory.nonsense": "1"}}"#,
    ] {
        cgroup.update(&serde_json::from_str(refused).unwrap()).unwrap_err();
    }
    cgroup.remove().unwrap();
}

#[test]
fn a_caller_without_rights_may_go_without_cgroups() {
    let cgroup = Cgroup { groups: Vec::new(), unit: None };
    let error =
        cgroup.update(&serde_json::from_str(r#"{"pids": {"limit": 5}}"#).unwrap()).unwrap_err();
    assert!(error.to_string().contains("could not join or create cgroup"), "{error}");
    assert!(cgroup.freeze().is_err());
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.remove().unwrap();
}

#[test]
fn a_host_without_systemd_says_so() {
    let request = Request {
        container_id: "box",
        cgroups_path: Some("system.slice:tare:box"),
        systemd: true,
        rootless: false,
        resources: None,
        annotations: &BTreeMap::new(),
        owner: None,
    };
    if Path::new("/run/systemd/private").exists() {
        return;
    }
    let error = Cgroup::create(&request).unwrap_err();
    assert!(error.to_string().contains("--systemd-cgroup"), "{error}");
}

#[test]
fn the_state_file_brings_it_back() {
    let Some(parent) = Parent::new() else { return };
    let cgroup = parent.create("{}").unwrap();
    let text = serde_json::to_string(&cgroup).unwrap();
    assert_eq!(serde_json::from_str::<Cgroup>(&text).unwrap(), cgroup);
    assert!(cgroup.path_in("memory").unwrap().ends_with(format!("{}/box", &parent.path[1..])));
    assert_eq!(cgroup.path_in("nonsense"), None);
    assert!(!cgroup.view().hierarchies.is_empty());
    cgroup.remove().unwrap();
}
