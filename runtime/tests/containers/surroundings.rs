//! What a program finds around it: environment, descriptors, CPUs, cgroups.

use crate::bundle::Bundle;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn home_is_the_users_unless_the_bundle_says_more() {
    let mut bundle = Bundle::script("echo $HOME");
    fs::create_dir(bundle.image("etc")).unwrap();
    fs::write(bundle.image("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    for (home, found) in [(None, "/root\n"), (Some("HOME="), "/root\n"), (Some("HOME=/x"), "/x\n")]
    {
        bundle.edit(|config| {
            let env = std::iter::once("PATH=/bin").chain(home).collect::<Vec<_>>();
            config["process"]["env"] = serde_json::json!(env);
        });
        assert_eq!(bundle.tare(&["run", "c"]).ok(), found, "{home:?}");
    }
}

/// Who looks into a container that waits for its start finds nothing of the runtime's there.
#[test]
fn a_waiting_init_holds_nothing_of_the_host_open() {
    let bundle = Bundle::new(&["true"]);
    let mut command = bundle.command();
    // A descriptor of the caller's, which nobody asked to pass on.
    let leaked = "exec 7</dev/zero; exec \"$@\"";
    let tare = command.get_program().to_owned();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", leaked, "sh"]).arg(tare).args(command.get_args()).current_dir(bundle.path());
    command = shell;
    command.args(["create", "c"]).stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    assert!(command.status().unwrap().success());
    let pid = bundle.state("c")["pid"].to_string();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap();
        let text = target.to_str().unwrap();
        let allowed = text.ends_with("/null") || text.ends_with("/exec.fifo");
        assert!(allowed || text.starts_with("socket:["), "{text}");
    }
}

/// The runtime's own caller may be bound to some CPUs; a container is not.
#[test]
fn a_container_runs_on_all_cpus_of_its_cgroup() {
    let bundle = Bundle::new(&["grep", "Cpus_allowed_list", "/proc/self/status"]);
    // Those of its cgroup, whatever this test is bound to.
    let all = std::process::Command::new("taskset")
        .args(["ffffffffffffffff", "grep", "Cpus_allowed_list", "/proc/self/status"])
        .output()
        .unwrap();
    let all = String::from_utf8(all.stdout).unwrap();
    let mut bound = std::process::Command::new("taskset");
    let tare = bundle.command();
    bound.args(["-c", "0"]).arg(tare.get_program()).args(tare.get_args());
    let output = bound.args(["run", "c"]).current_dir(bundle.path()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), all);
}

#[test]
fn an_exec_runs_on_the_cpus_that_it_asks_for() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start("c");
    let process = serde_json::json!({
        "args": ["grep", "Cpus_allowed_list", "/proc/self/status"],
        "env": ["PATH=/bin"],
        "cwd": "/",
        "execCPUAffinity": { "initial": "0", "final": "0" }
    });
    fs::write(bundle.path().join("process.json"), process.to_string()).unwrap();
    let ran = bundle.tare(&["--debug", "exec", "--process", "process.json", "c"]);
    assert_eq!((ran.status, ran.out.as_str()), (0, "Cpus_allowed_list:\t0\n"), "{}", ran.err);
    assert!(ran.err.contains("affinity: 0x1"), "{}", ran.err);
}

/// A cgroup directory of this test, in the hierarchy that freezes, removed at its end.
struct Frozen(PathBuf);

impl Frozen {
    /// Makes the cgroup `path` and freezes it.
    fn new(path: &str) -> Frozen {
        let path = path.trim_start_matches('/');
        let v1 = Path::new("/sys/fs/cgroup/freezer").join(path);
        let (directory, file, word) = match Path::new("/sys/fs/cgroup/freezer").exists() {
            true => (v1, "freezer.state", "FROZEN"),
            false => (Path::new("/sys/fs/cgroup").join(path), "cgroup.freeze", "1"),
        };
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(file), word).unwrap();
        Frozen(directory)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_frozen_cgroup_is_refused() {
    let bundle = Bundle::new(&["true"]);
    let text = fs::read_to_string(bundle.path().join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    let path = config["linux"]["cgroupsPath"].as_str().unwrap().to_owned();
    let frozen = Frozen::new(&path);
    for command in ["run", "create"] {
        let error = bundle.tare(&[command, "c"]).fails(1);
        assert!(error.contains("container's cgroup unexpectedly frozen"), "{error}");
        assert!(!bundle.path().join("containers/c").exists());
    }
    drop(frozen);
    // One that is frozen from above stops newcomers too.
    let mut inner = Bundle::new(&["true"]);
    inner.edit(|config| config["linux"]["cgroupsPath"] = format!("{path}/inner").into());
    let frozen = Frozen::new(&path);
    let error = inner.tare(&["run", "c"]).fails(1);
    assert!(error.contains("unexpectedly frozen"), "{error}");
    drop(frozen);
    bundle.tare(&["run", "c"]).ok();
}

#[test]
fn places_for_an_exec_below_the_cgroup_are_named_when_they_are_not_there() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start("c");
    for (place, words) in [
        ("..", "bad sub cgroup path"),
        ("nonexistent", " adding pid "),
        ("whaat:/", "unknown controller "),
    ] {
        let error = bundle.tare(&["exec", "--cgroup", place, "c", "true"]).fails(255);
        assert!(error.contains(words), "{place}: {error}");
    }
    bundle.tare(&["exec", "--cgroup", "/", "c", "true"]).ok();
}

/// Capabilities of the program decide whether it may be executed, not those of the runtime.
#[test]
fn a_program_without_the_bit_needs_the_capability() {
    use std::os::unix::fs::PermissionsExt;
    let mut bundle = Bundle::new(&["/bin/mine"]);
    fs::copy(bundle.image("bin/busybox"), bundle.image("bin/mine")).unwrap();
    // For its owner only, who is root; and reading is refused even to that one.
    fs::set_permissions(bundle.image("bin/mine"), PermissionsExt::from_mode(0o100)).unwrap();
    bundle.edit(|config| {
        config["process"]["args"] = serde_json::json!(["/bin/mine", "echo", "ran"]);
        config["process"]["user"] = serde_json::json!({ "uid": 1000, "gid": 1000 });
        config["process"]["noNewPrivileges"] = true.into();
    });
    assert!(bundle.tare(&["run", "c"]).fails(1).contains("permission denied"));
    bundle.allow(&["CAP_DAC_OVERRIDE"]);
    bundle.edit(|config| {
        for set in ["inheritable", "ambient"] {
            config["process"]["capabilities"][set] = serde_json::json!(["CAP_DAC_OVERRIDE"]);
        }
    });
    // busybox finds its applet by its name.
    bundle.edit(|config| config["process"]["args"] = serde_json::json!(["/bin/mine"]));
    let ran = bundle.tare(&["run", "c"]);
    assert!(!ran.err.contains("permission denied"), "{}", ran.err);
}
