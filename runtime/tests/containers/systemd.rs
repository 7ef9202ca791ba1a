//! Containers in scopes of systemd's, which is played by the test.

use crate::bundle::{Bundle, Ran, TARE};
use crate::fake_systemd::{FakeSystemd, Listens};
use crate::user::{Cgroups, ID, Ids, User, hierarchies};
use serde_json::json;
use std::fs;
use std::process::{Command, Stdio};

/// `tare --systemd-cgroup` where the fake listens in place of the host's systemd.
fn tare(bundle: &Bundle, args: &[&str]) -> Command {
    const ENTER: &str = "set -e; mount -t tmpfs tmpfs /run; mkdir /run/systemd; \
        mount --bind systemd /run/systemd; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter", TARE]);
    command.args(["--systemd-cgroup", "--root"]).arg(bundle.path().join("containers"));
    command.args(args).current_dir(bundle.path()).stdin(Stdio::null());
    command
}

/// The value of `file` in the scope's cgroup, in whichever hierarchy has it.
fn value(scope: &str, file: &str) -> Option<String> {
    let files = hierarchies().into_iter().map(|mount| mount.join(scope).join(file));
    files.filter_map(|file| fs::read_to_string(file).ok()).next()
}

#[test]
fn a_scope_has_the_container_in_every_hierarchy() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    let systemd = FakeSystemd::start(&bundle.path().join("systemd/private"), Listens::Directly, 0);
    let slice = &systemd.slice;
    bundle.edit(|config| {
        config["linux"]["cgroupsPath"] = format!("{slice}-inner.slice:tare:box").into();
        config["linux"]["resources"] = json!({
            "pids": { "limit": 20 }, "memory": { "limit": 64 << 20 }, "cpu": { "shares": 512 },
        });
    });
    let quiet = |args: &[&str]| {
        let mut command = tare(&bundle, args);
        command.stdout(Stdio::null()).stderr(fs::File::create(bundle.path().join("log")).unwrap());
        let done = command.status().unwrap().success();
        assert!(done, "{args:?}: {}", fs::read_to_string(bundle.path().join("log")).unwrap());
    };
    quiet(&["run", "--detach", "c"]);
    let scope = format!("{slice}.slice/{slice}-inner.slice/tare-box.scope");
    let state = Ran::from(tare(&bundle, &["state", "c"]).output().unwrap()).ok();
    let pid = serde_json::from_str::<serde_json::Value>(&state).unwrap()["pid"].to_string();
    let places = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let inside = places.lines().filter(|line| line.ends_with(&format!(":/{scope}"))).count();
    assert_eq!(inside, hierarchies().len(), "{places}");

    assert_eq!(value(&scope, "pids.max").unwrap(), "20\n");
    let told = systemd.told("StartTransientUnit");
    for property in ["Delegate", "PIDs", "Slice", "TasksAccounting"] {
        assert!(told.iter().any(|call| call.contains(property)), "{property}: {told:?}");
    }
    let memory = if hierarchies().len() > 1 { "MemoryLimit" } else { "MemoryMax" };
    let told = systemd.told("SetUnitProperties").concat();
    for property in ["tare-box.scope", "TasksMax", memory] {
        assert!(told.contains(property), "{property}: {told}");
    }
    assert_eq!(told.contains("DeviceAllow"), hierarchies().len() > 1);

    quiet(&["update", "--pids-limit", "30", "c"]);
    assert_eq!(value(&scope, "pids.max").unwrap(), "30\n");
    assert!(systemd.told("SetUnitProperties").len() > 1);
    quiet(&["exec", "c", "true"]);
    quiet(&["delete", "--force", "c"]);
    assert_eq!(systemd.told("StopUnit").len(), 1);
    assert_eq!(value(&scope, "cgroup.procs"), None, "a cgroup is left");
}

#[test]
fn a_failed_start_leaves_no_scope() {
    let mut bundle = Bundle::new(&["/no/such/program"]);
    let systemd = FakeSystemd::start(&bundle.path().join("systemd/private"), Listens::Directly, 0);
    let slice = &systemd.slice;
    bundle.edit(|config| {
        config["linux"]["cgroupsPath"] = format!("{slice}.slice:tare:box").into();
    });
    let error = Ran::from(tare(&bundle, &["run", "c"]).output().unwrap());
    assert_ne!(error.status, 0, "{error:?}");
    assert_eq!(value(&format!("{slice}.slice/tare-box.scope"), "cgroup.procs"), None);
}

#[test]
fn without_systemd_it_is_named() {
    let bundle = Bundle::new(&["true"]);
    fs::create_dir(bundle.path().join("systemd")).unwrap();
    let mut bundle = bundle;
    bundle.edit(|config| config["linux"]["cgroupsPath"] = "a.slice:tare:box".into());
    let error = Ran::from(tare(&bundle, &["run", "c"]).output().unwrap()).fails(1);
    assert!(error.contains("--systemd-cgroup: connect to systemd at "), "{error}");
    assert!(error.contains("/run/systemd/private"), "{error}");
}

#[test]
fn a_users_systemd_is_asked_through_the_bus_of_the_session() {
    let mut user = User::new(&["sleep", "1000"], Ids::Own);
    let systemd = FakeSystemd::start(&user.path().join("runtime/bus"), Listens::BehindBus, ID);
    user.see(Cgroups::Unified);
    let slice = systemd.slice.clone();
    user.edit(|config| {
        config["linux"]["cgroupsPath"] = format!("{slice}.slice:tare:box").into();
    });
    user.leave(&["--systemd-cgroup", "run", "--detach", "c"]);
    let scope = format!("/{slice}.slice/tare-box.scope");
    let pid = user.state()["pid"].to_string();
    let place = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(place(&pid).contains(&format!("0::{scope}\n")), "{}", place(&pid));
    // The user's own process is outside what the scope is in, and may not be moved by its user.
    assert_eq!(systemd.told("AttachProcessesToUnit").len(), 1);
    let joined = user.tare(&["--systemd-cgroup", "exec", "c", "cat", "/proc/self/cgroup"]).ok();
    assert!(joined.contains(&format!("0::{scope}\n")), "{joined}");
    user.tare(&["delete", "--force", "c"]).ok();
    assert_eq!(value(&scope[1..], "cgroup.procs"), None, "a cgroup is left");
}

#[test]
fn a_users_systemd_has_no_cgroups_of_version_1() {
    let mut user = User::new(&["true"], Ids::Own);
    user.edit(|config| config["linux"]["cgroupsPath"] = "a.slice:tare:box".into());
    let error = user.tare(&["--systemd-cgroup", "run", "c"]).fails(1);
    let expected = match hierarchies().len() {
        1 => "connect to systemd",
        _ => "cannot use rootless systemd cgroups manager on cgroup v1",
    };
    assert!(error.contains(expected), "{error}");
}
