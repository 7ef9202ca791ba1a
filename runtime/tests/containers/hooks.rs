//! Hooks: at which point of a container's life, where, and what of their failures.

use crate::bundle::Bundle;
use serde_json::{Value, json};
use std::fs;

/// Adds hooks that append a line to the file `log` in the image: the point, and the status that they
/// were told.
fn with_hooks(bundle: &mut Bundle, points: &[&str]) {
    let outside = bundle.image("log").to_str().unwrap().to_owned();
    for point in points {
        let log = if *point == "startContainer" { "/log" } else { &outside };
        let script = format!(
            r#"read -r state; status=${{state#*'"status":"'}}; echo {point} ${{status%%'"'*}} >> {log}"#
        );
        add(bundle, point, json!({"path": "/bin/sh", "args": ["sh", "-c", script]}));
    }
}

fn add(bundle: &mut Bundle, point: &str, hook: Value) {
    bundle.edit(|config| match config["hooks"][point].as_array_mut() {
        Some(list) => list.push(hook),
        None => config["hooks"][point] = json!([hook]),
    });
}

fn add_failing(bundle: &mut Bundle, point: &str) {
    add(bundle, point, json!({"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}));
}

fn log(bundle: &Bundle) -> String {
    fs::read_to_string(bundle.image("log")).unwrap_or_default()
}

const ALL: [&str; 6] =
    ["poststop", "poststart", "startContainer", "createContainer", "createRuntime", "prestart"];

#[test]
fn each_hook_runs_at_its_point_and_is_told_the_status() {
    let mut bundle = Bundle::script("echo program >> /log");
    bundle.edit(|config| config["root"]["readonly"] = false.into());
    with_hooks(&mut bundle, &ALL);
    bundle.leave(&["create", "c"]);
    let created = "prestart created\ncreateRuntime creating\ncreateContainer creating\n";
    assert_eq!(log(&bundle), created);
    bundle.tare(&["start", "c"]).ok();
    bundle.wait_for("c", "stopped");
    let ran = log(&bundle);
    let mut after: Vec<&str> = ran.strip_prefix(created).unwrap().lines().collect();
    assert_eq!(after.remove(0), "startContainer created");
    // The program runs when `poststart` does: either may write first.
    after.sort_unstable();
    assert_eq!(after, ["poststart running", "program"]);
    bundle.tare(&["delete", "c"]).ok();
    assert_eq!(log(&bundle).strip_prefix(&ran).unwrap(), "poststop stopped\n");
}

#[test]
fn poststart_waits_for_the_program_to_run() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    let done = bundle.path().join("done");
    // As long as this hook runs, the program doesn't.
    add(
        &mut bundle,
        "startContainer",
        json!({"path": "/bin/sh", "args": ["sh", "-c", "while [ ! -e /go ]; do sleep 0.01; done"]}),
    );
    let touch = format!("touch {}", done.display());
    add(&mut bundle, "poststart", json!({"path": "/bin/sh", "args": ["sh", "-c", touch]}));
    bundle.leave(&["create", "c"]);
    let mut start = bundle.command().args(["start", "c"]).spawn().unwrap();
    bundle.wait_for("c", "running");
    assert!(!done.exists() && start.try_wait().unwrap().is_none());
    fs::write(bundle.image("go"), "").unwrap();
    assert!(start.wait().unwrap().success());
    assert!(done.exists());
}

#[test]
fn a_failing_hook_ends_the_container_and_poststop_follows() {
    for point in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = Bundle::new(&["true"]);
        with_hooks(&mut bundle, &["poststop"]);
        add_failing(&mut bundle, point);
        let error = bundle.tare(&["create", "c"]).fails(1);
        assert!(
            error.contains(&format!("error running {point} hook #0: exit status 3")),
            "{error}"
        );
        assert!(bundle.tare(&["state", "c"]).fails(1).contains("does not exist"));
        assert_eq!(log(&bundle), "poststop stopped\n", "{point}");
    }
}

#[test]
fn a_failing_poststart_fails_the_start_and_ends_the_container() {
    for command in [&["run", "--detach", "c"][..], &["start", "c"]] {
        let mut bundle = Bundle::new(&["sleep", "1000"]);
        with_hooks(&mut bundle, &["poststop"]);
        add_failing(&mut bundle, "poststart");
        if command[0] == "start" {
            bundle.leave(&["create", "c"]);
        }
        let error = bundle.tare(command).fails(1);
        assert!(error.contains("error running poststart hook #0: exit status 3"), "{error}");
        assert!(bundle.tare(&["state", "c"]).fails(1).contains("does not exist"));
        assert_eq!(log(&bundle), "poststop stopped\n", "{command:?}");
    }
}

#[test]
fn a_failing_poststop_is_warned_of_and_the_others_run() {
    let mut bundle = Bundle::new(&["true"]);
    add_failing(&mut bundle, "poststop");
    with_hooks(&mut bundle, &["poststop"]);
    let ran = bundle.tare(&["run", "c"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.err.contains("level=warning"), "{ran:?}");
    assert!(ran.err.contains("error running poststop hook #0: exit status 3"), "{ran:?}");
    assert_eq!(log(&bundle), "poststop stopped\n");
}

#[test]
fn a_hook_that_cannot_be_run_as_described_is_refused() {
    for (hook, why) in [
        (
            json!({"path": "bin/true"}),
            "createRuntime hook #0: path \\\"bin/true\\\" is not absolute",
        ),
        (json!({"path": "/bin/true", "timeout": 0}), "hook #0: timeout 0 is not greater than zero"),
    ] {
        let mut bundle = Bundle::new(&["true"]);
        add(&mut bundle, "createRuntime", hook);
        let error = bundle.tare(&["run", "c"]).fails(1);
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn hooks_run_in_the_namespaces_of_their_point() {
    let mut bundle = Bundle::new(&["true"]);
    bundle.edit(|config| config["root"]["readonly"] = false.into());
    let out = bundle.image("log").to_str().unwrap().to_owned();
    for point in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let script = format!("echo {point} $(readlink /proc/self/ns/uts) >> {out}");
        add(&mut bundle, point, json!({"path": "/bin/sh", "args": ["sh", "-c", script]}));
    }
    bundle.tare(&["run", "c"]).ok();
    let host = fs::read_link("/proc/self/ns/uts").unwrap();
    let log = log(&bundle);
    assert_eq!(log.lines().count(), 5, "{log}");
    for line in log.lines() {
        let (point, namespace) = line.split_once(' ').unwrap();
        assert_eq!(host.to_str() == Some(namespace), point != "createContainer", "{line}");
    }
}

#[test]
fn hooks_inside_find_the_root_the_environment_and_the_filter() {
    let mut bundle = Bundle::new(&["ls", "/tmp/made"]);
    bundle.edit(|config| {
        config["root"]["readonly"] = false.into();
        config["process"]["env"] = json!(["PATH=/bin", "ONE=two"]);
        config["hooks"] = json!({
            "createContainer": [{ "path": "/bin/sh", "args": ["sh", "-c", "touch tmp/made"] }],
            "startContainer": [{
                "path": "/bin/sh",
                "args": ["sh", "-euc", "test $ONE = two; test $HOME = /; ls /tmp/made"],
            }],
        });
    });
    assert_eq!(bundle.tare(&["run", "c"]).ok(), "/tmp/made\n");

    for new_privileges in [false, true] {
        bundle.edit(|config| {
            config["process"]["noNewPrivileges"] = new_privileges.into();
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS" }],
            });
            config["hooks"] = json!({ "startContainer": [
                { "path": "/bin/busybox", "args": ["busybox", "mkdir", "/tmp/dir"] },
            ]});
        });
        let error = bundle.tare(&["run", "c"]).fails(1);
        assert!(error.contains("error running startContainer hook #0: signal: bad system call"));
    }
    assert!(!bundle.image("tmp/dir").exists());
}
