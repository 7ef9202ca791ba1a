//! Whole specs, checked against what docker makes.

use super::*;
use crate::container::fixture;

fn facts() -> HostFacts {
    HostFacts {
        capabilities: BTreeSet::from(capabilities::ALL),
        kernel: (6, 1),
        seccomp: true,
        no_new_privileges: false,
    }
}

fn spec_of(container: &Container) -> Spec {
    let account = Account { user: document::User::default(), home: "/root".to_owned() };
    generate(&Inputs {
        container,
        host: &facts(),
        account: &account,
        cgroup: "/tare/id".to_owned(),
        users: None,
        network: NetworkSource::Held(Path::new("/run/netns/id")),
        pid_of: None,
        ipc_of: None,
        shared_memory: None,
        limited: false,
        files: &[("/etc/hosts", Path::new("/data/hosts"))],
        staged: const { &BTreeMap::new() },
        foreign: const { &BTreeSet::new() },
        init: None,
    })
    .unwrap()
}

/// An ordinary container's.
pub(crate) fn spec() -> Spec {
    spec_of(&fixture::container())
}

#[test]
fn an_ordinary_container_is_confined() {
    let spec = spec_of(&fixture::container());
    assert_eq!(spec.process.args, ["sleep", "1"]);
    assert_eq!(spec.process.cwd, "/");
    assert!(spec.process.env.contains(&"HOME=/root".to_owned()));
    assert_eq!(spec.process.capabilities.bounding.len(), 14);
    assert!(spec.linux.seccomp.is_some());
    assert!(spec.linux.masked_paths.contains(&"/proc/kcore".to_owned()));
    assert_eq!(spec.linux.sysctl.len(), 2);
    assert!(spec.mounts.iter().any(|mount| mount.destination == "/etc/hosts"));
}

#[test]
fn a_privileged_one_is_not() {
    let mut container = fixture::container();
    container.host.privileged = true;
    container.host.masked_paths = None;
    container.host.readonly_paths = None;
    let spec = spec_of(&container);
    assert_eq!(spec.process.capabilities.bounding.len(), capabilities::ALL.len());
    assert_eq!(spec.linux.seccomp, None);
    assert!(spec.linux.masked_paths.is_empty() && spec.linux.readonly_paths.is_empty());
}

#[test]
fn the_runtime_reads_what_is_written() {
    let mut container = fixture::container();
    container.config.tty = true;
    container.host.resources.memory = 64 << 20;
    container.host.resources.nano_cpus = 500_000_000;
    container.host.resources.pids_limit = Some(0);
    container.host.resources.ulimits =
        vec![Ulimit { name: "nofile".to_owned(), soft: 1024, hard: -1 }];
    let json = serde_json::to_string(&spec_of(&container)).unwrap();
    let read: oci_spec::runtime::Spec = serde_json::from_str(&json).unwrap();
    let resources = read.linux().as_ref().unwrap().resources().as_ref().unwrap();
    assert_eq!(resources.memory().as_ref().unwrap().limit(), Some(64 << 20));
    assert_eq!(resources.cpu().as_ref().unwrap().quota(), Some(50_000));
    assert_eq!(resources.pids().as_ref().unwrap().limit(), -1);
    assert_eq!(read.process().as_ref().unwrap().rlimits().as_ref().unwrap()[0].hard(), u64::MAX);
}

#[test]
fn an_exec_takes_after_its_container() {
    let mut container = fixture::container();
    container.config.env = vec!["A=1".to_owned(), "B=1".to_owned()];
    container.config.working_dir = "/srv".to_owned();
    let config = ExecConfig {
        cmd: vec!["id".to_owned()],
        env: vec!["B=2".to_owned()],
        privileged: true,
        ..ExecConfig::default()
    };
    let account = Account { user: document::User::default(), home: "/home/x".to_owned() };
    let process = exec_process(&container, &config, None, &account, &facts()).unwrap();
    assert_eq!(process.cwd, "/srv");
    for variable in ["A=1", "B=2", "HOME=/home/x"] {
        assert!(process.env.contains(&variable.to_owned()), "{variable}");
    }
    assert_eq!(process.capabilities.effective.len(), capabilities::ALL.len());
}
