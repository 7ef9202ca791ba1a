//! What only a host with cgroup v2 alone has. On others there is nothing to test.

use std::os::unix::fs::MetadataExt;

use super::*;

/// The parent of a test's container, if the host has v2 alone.
fn unified() -> Option<(Parent, PathBuf)> {
    let parent = Parent::new()?;
    let hierarchies = hierarchy::detect().unwrap();
    let [only] = hierarchies.as_slice() else { return None };
    let directory = only.mount_point.join(&parent.path[1..]);
    (only.holds == hierarchy::Holds::V2).then_some((parent, directory))
}

#[test]
fn a_threaded_cgroup_takes_no_container() {
    let Some((parent, directory)) = unified() else { return };
    std::fs::create_dir_all(directory.join("threads")).unwrap();
    file::write(&directory.join("threads"), "cgroup.type", "threaded").unwrap();
    let error = parent.create(r#"{"memory": {"limit": 67108864}}"#).unwrap_err().to_string();
    assert!(error.contains("with domain controllers -- it is in"), "{error}");
    assert!(!directory.join("box").exists(), "after {error}");
}

#[test]
fn a_parent_with_processes_gives_no_limits_but_a_place() {
    let Some((mut parent, directory)) = unified() else { return };
    let cgroup = parent.create("{}").unwrap();
    parent.start(&cgroup, "exec sleep 60");
    let inner = format!("{}/box/inner", parent.path);
    let resources = serde_json::from_str(r#"{"memory": {"limit": 67108864}}"#).unwrap();
    let request = Request {
        container_id: "inner",
        cgroups_path: Some(&inner),
        systemd: false,
        rootless: false,
        resources: Some(&resources),
        annotations: &BTreeMap::new(),
        owner: None,
    };
    let plain = Cgroup::create(&Request { resources: None, ..request }).unwrap();
    assert_eq!(file::read(&directory.join("box/inner"), "cgroup.type").unwrap(), "domain");
    plain.remove().unwrap();
    let error = Cgroup::create(&request).unwrap_err().to_string();
    assert!(error.contains("memory.limit needs the memory controller"), "{error}");
    assert!(!directory.join("box/inner").exists(), "after {error}");
}

#[test]
fn a_process_joins_beside_the_first_where_a_cgroup_has_handed_its_controllers_down() {
    let Some((mut parent, directory)) = unified() else { return };
    let cgroup = parent.create("{}").unwrap();
    let init = parent.start(&cgroup, "exec sleep 60");
    let inner = directory.join("box/inner");
    std::fs::create_dir(&inner).unwrap();
    file::write(&inner, "cgroup.procs", &init.to_string()).unwrap();
    file::write(&directory.join("box"), "cgroup.subtree_control", "+memory").unwrap();
    let entry = cgroup.entry_beside(init).unwrap();
    let place = std::fs::read_link(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&entry.v2_dir().unwrap())
    ));
    assert_eq!(place.unwrap(), inner);
}

#[test]
fn a_cgroup_that_is_given_away_keeps_its_limits() {
    let Some((parent, directory)) = unified() else { return };
    let path = format!("{}/box", parent.path);
    let request = Request {
        container_id: "box",
        cgroups_path: Some(&path),
        systemd: false,
        rootless: false,
        resources: None,
        annotations: &BTreeMap::new(),
        owner: Some(100_000),
    };
    Cgroup::create(&request).unwrap();
    let owner = |name: &str| directory.join("box").join(name).metadata().unwrap().uid();
    for given in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        assert_eq!(owner(given), 100_000, "{given}");
    }
    for kept in ["memory.max", "pids.max", "cgroup.freeze"] {
        assert_eq!(owner(kept), 0, "{kept}");
    }
    assert_eq!(directory.metadata().unwrap().uid(), 0, "the parent");
}

#[test]
fn time_tasks_and_pressure_are_counted_with_and_without_controllers() {
    let Some((mut parent, _)) = unified() else { return };
    let mut cgroup = parent.create("{}").unwrap();
    parent.start(&cgroup, "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; exec sleep 60");
    eventually("time is used", || cgroup.stats().unwrap().cpu.usage.total > 0);
    for all in [true, false] {
        if !all {
            let [Group::V2(group)] = cgroup.groups.as_mut_slice() else { panic!("{cgroup:?}") };
            group.controllers.clear();
        }
        let stats = cgroup.stats().unwrap();
        assert!(stats.cpu.usage.total > 0);
        assert_eq!(stats.pids.current, 1);
        let waits = Path::new("/proc/pressure/memory").exists();
        assert_eq!(stats.memory.psi.is_some(), waits);
        assert_eq!(stats.cpu.psi.is_some(), waits);
        assert_eq!(stats.blkio.psi.is_some(), waits);
        assert_eq!(stats.memory.usage.usage > 0, all);
    }
}

#[test]
fn the_kernel_has_the_program_of_the_last_update_only() {
    let Some((mut parent, directory)) = unified() else { return };
    let cgroup = parent.create(r#"{"devices": [{"allow": false, "access": "rwm"}]}"#).unwrap();
    let programs = || {
        let box_directory = std::fs::File::open(directory.join("box")).unwrap();
        crate::linux::bpf::device::attached(std::os::fd::AsFd::as_fd(&box_directory)).unwrap().len()
    };
    assert_eq!(programs(), 1);
    // Any device, then one that can only be read, then none.
    for (rules, script, code) in [
        (r#"[{"allow": true, "type": "a", "access": "rwm"}]"#, ": </dev/kmsg", 0),
        (
            r#"[{"allow": true, "access": "rwm"},
                {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "w"}]"#,
            "(: </dev/kmsg) || exit 1; (: >/dev/kmsg) && exit 2; exit 0",
            0,
        ),
        (r#"[{"allow": false, "access": "rwm"}]"#, "(: </dev/kmsg) && exit 1; exit 0", 0),
    ] {
        cgroup
            .update(&serde_json::from_str(&format!(r#"{{"devices": {rules}}}"#)).unwrap())
            .unwrap();
        assert_eq!(programs(), 1, "{rules}");
        parent.start(&cgroup, script);
        let ended = parent.children.last_mut().unwrap().wait().unwrap();
        assert_eq!(ended.code(), Some(code), "{rules}");
    }
}
