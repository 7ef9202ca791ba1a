//! Other OCI runtimes in place of our own: they are called by runc's command line.

use tare_integration::wait::until_true;
use tare_integration::{on_host_with, peer};

/// Runs a container's life through the program, if this machine has it.
fn works_with(runtime: &str) {
    if !peer::is_tared("other runtimes") {
        return;
    }
    let found =
        std::process::Command::new("sh").args(["-c", &format!("command -v {runtime}")]).output();
    let path = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let path = path.unwrap_or_default();
    if path.is_empty() {
        eprintln!(
            "NOT TESTED: there is no {runtime} on this machine; install the package {runtime}"
        );
        return;
    }
    let flag = format!("--add-runtime={runtime}={path}");
    on_host_with(&[&flag], |host| {
        host.docker_with_input("load", &tare_integration::images::busybox_archive()).ok();
        let info = host.docker("info --format json").json();
        assert!(info["Runtimes"].get(runtime).is_some(), "{info}");
        host.docker(&format!("run --rm --runtime {runtime} busybox sh -c 'echo hi; exit 3'"))
            .code(3)
            .stdout("hi\n");
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
        host.docker_with_input("load", &tare_integration::images::busybox_archive()).ok();
        host.docker("run --rm --runtime nothing busybox true")
            .code(125)
            .stderr_has("unknown or invalid runtime name: nothing");
    });
}
