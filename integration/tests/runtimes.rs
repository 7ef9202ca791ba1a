//! Other OCI runtimes in place of our own: they are called by runc's command line.

use std::process::Command;

use tare_integration::command::run;
use tare_integration::images::busybox_archive;
use tare_integration::wait::until_true;
use tare_integration::{on_host_with, peer, programs};

/// Where a program is on this machine.
fn find(program: &str) -> Option<String> {
    let found = run(Command::new("sh").args(["-c", &format!("command -v {program}")]));
    (found.code == 0).then(|| found.ok().to_owned())
}

/// Takes a container through its life with the runtime, if this machine has it.
fn works_with(runtime: &str) {
    if !peer::is_tared("other runtimes") {
        return;
    }
    let Some(path) = find(runtime) else {
        eprintln!("NOT TESTED: there is no {runtime} here; install the package {runtime}");
        return;
    };
    on_host_with(&[&format!("--add-runtime={runtime}={path}")], |host| {
        host.docker_with_input("load", &busybox_archive()).ok();
        let info = host.docker("info --format json").json();
        assert!(info["Runtimes"].get(runtime).is_some(), "{info}");
        let first =
            host.docker(&format!("run --rm --runtime {runtime} busybox sh -c 'echo hi; exit 3'"));
        if first.stderr.contains("hybrid mode not supported") {
            eprintln!("NOT TESTED: {runtime} refuses this machine's cgroups: {}", first.stderr);
            return;
        }
        first.code(3).stdout("hi\n");
        host.docker(&format!("run -d --name c1 --runtime {runtime} -m 64m busybox sleep 1000"))
            .ok();
        assert_eq!(host.inspect("c1", "{{.HostConfig.Runtime}}"), runtime);
        host.docker("exec c1 echo inside").code(0).stdout("inside\n");
        host.docker("exec c1 grep Seccomp: /proc/self/status").stdout("Seccomp:\t2\n");
        host.docker("kill c1").ok();
        until_true("the end", || host.inspect("c1", "{{.State.ExitCode}}") == "137");
    });
}

#[test]
fn runc() {
    works_with("runc");
}

#[test]
fn crun() {
    works_with("crun");
}

#[test]
fn one_that_is_not_configured_is_refused() {
    on_host_with(&[], |host| {
        host.docker_with_input("load", &busybox_archive()).ok();
        host.docker("run --rm --runtime nothing busybox true")
            .code(125)
            .stderr_has("unknown or invalid runtime name: nothing");
    });
}

#[test]
fn a_runtimes_own_arguments_come_first() {
    if !peer::is_tared("its own runtime") {
        return;
    }
    let directory = tempfile::tempdir().expect("make a directory");
    let (file, wrapper) = (directory.path().join("daemon.json"), directory.path().join("wrapper"));
    let tare = programs::directory().join("tare").display().to_string();
    let script = format!("#!/bin/sh\n[ \"$1\" = --please ] || exit 9\nshift\nexec {tare} \"$@\"\n");
    std::fs::write(&wrapper, script).expect("write a file");
    run(Command::new("chmod").arg("755").arg(&wrapper)).ok();
    let settings = serde_json::json!({
        "runtimes": {"polite": {"path": wrapper, "runtimeArgs": ["--please"]}},
    });
    std::fs::write(&file, settings.to_string()).expect("write a file");
    on_host_with(&[&format!("--config-file={}", file.display())], |host| {
        host.docker_with_input("load", &busybox_archive()).ok();
        host.docker("run --rm --runtime polite busybox echo hi").code(0).stdout("hi\n");
        host.docker("run -d --name c1 --runtime polite busybox sleep 1000").ok();
        host.docker("exec c1 echo inside").code(0).stdout("inside\n");
        host.docker("rm -f c1").ok();
        let info = host.docker("info --format json").json();
        assert_eq!(info["Runtimes"]["polite"]["runtimeArgs"], serde_json::json!(["--please"]));
        let features =
            &info["Runtimes"]["tare"]["status"]["org.opencontainers.runtime-spec.features"];
        assert!(features.as_str().is_some_and(|text| text.contains("ociVersionMin")), "{info}");
    });
}
