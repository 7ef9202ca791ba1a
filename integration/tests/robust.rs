//! What misbehaves holds up nothing else: shims that don't answer, clients that don't read.

use std::io::Write;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use tare_integration::footprint::cgroups;
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host, peer};

/// Ends with 7 when it is asked to.
const POLITE: &str = r#"busybox sh -c 'trap "exit 7" TERM; while :; do sleep 0.1; done'"#;

/// Runs the test, if the daemon is one whose containers have shims as this test knows them.
fn on_host_with_shims(test: impl FnOnce(&Host)) {
    if peer::is_tared("shims of its own") {
        on_host(test);
    }
}

/// Sends a signal to the shim of a container.
fn signal_shim(host: &Host, container: &str, signal: &str) {
    let id = host.inspect(container, "{{.Id}}");
    let pids = host.run("pgrep", &["-f", &format!("containerd-shim-tare-v2.*{id}")]);
    for pid in pids.ok().lines() {
        host.run("kill", &[signal, pid]).ok();
    }
}

#[test]
fn a_shim_that_does_not_answer_holds_up_nobody_and_is_taken_over_later() {
    on_host_with_shims(|host| {
        host.docker(&format!("run -d --name c1 {POLITE}")).ok();
        signal_shim(host, "c1", "-STOP");
        host.docker("run --rm busybox echo other").code(0).stdout("other\n");

        host.end_daemon(Signal::KILL);
        host.start_daemon();
        host.docker("run --rm busybox echo other").code(0).stdout("other\n");
        assert_eq!(host.inspect("c1", "{{.State.Status}}"), "running", "nobody has ended it");

        signal_shim(host, "c1", "-CONT");
        until_true("the container being taken over", || host.docker("exec c1 true").code == 0);
        host.docker("stop c1").ok();
        assert_eq!(host.inspect("c1", "{{.State.ExitCode}}"), "7");
    });
}

#[test]
fn a_container_whose_shim_was_killed_ends_at_once() {
    on_host_with_shims(|host| {
        host.docker(&format!("run -d --name c1 -p 8080:80 {POLITE}")).ok();
        let pid = host.inspect("c1", "{{.State.Pid}}");
        signal_shim(host, "c1", "-KILL");
        host.docker("wait c1").code(0).stdout("137\n");
        assert_ne!(host.run("test", &["-e", &format!("/proc/{pid}")]).code, 0, "it runs on");
        host.docker("start c1").ok();
        host.docker("stop c1").ok();
        assert_eq!(host.inspect("c1", "{{.State.ExitCode}}"), "7");
    });
}

#[test]
fn a_shim_that_was_given_up_on_holds_nothing() {
    on_host_with_shims(|host| {
        host.docker(&format!("run -d --name c1 -p 8080:80 {POLITE}")).ok();
        signal_shim(host, "c1", "-STOP");
        host.docker("rm -f c1").ok();
        let shims = host.run("pgrep", &["-f", "containerd-shim-tare-v2"]);
        assert_eq!(shims.stdout, "", "it is gone for good");
        host.docker(&format!("run -d --name c2 -p 8080:80 {POLITE}")).ok();
    });
}

#[test]
fn with_a_shim_end_all_of_its_containers_processes_frozen_and_in_cgroups_of_their_own() {
    on_host_with_shims(|host| {
        host.docker("run -d --name c1 busybox sh -c 'sleep 1000 & wait'").ok();
        let id = host.inspect("c1", "{{.Id}}");
        let places = cgroups(&format!("{}/{id}", host.places().cgroup_parent));
        let processes = || {
            let text = std::fs::read_to_string(places[0].join("cgroup.procs")).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        until_true("both processes", || processes().len() == 2);
        let both = processes();
        for place in places.iter().filter(|place| place.exists()) {
            let inner = place.join("inner");
            std::fs::create_dir(&inner).unwrap();
            // With version 1, a new cgroup has no processors yet.
            for file in ["cpuset.cpus", "cpuset.mems"].map(|name| inner.join(name)) {
                if file.exists() {
                    std::fs::copy(place.join(file.file_name().unwrap()), file).unwrap();
                }
            }
            std::fs::write(inner.join("cgroup.procs"), &both[1]).unwrap();
        }
        host.docker("pause c1").ok();
        signal_shim(host, "c1", "-KILL");
        host.docker("wait c1").code(0).stdout("137\n");
        assert_ne!(host.inspect("c1", "{{.State.Error}}"), "", "it says what happened");
        let gone = |pid: &String| !std::path::Path::new("/proc").join(pid).exists();
        until_true("the end of both", || both.iter().all(gone));
    });
}

#[test]
fn clients_that_do_not_read_stall_nothing() {
    on_host_with_shims(|host| {
        let noise = "sh -c 'while :; do head -c 1000000 /dev/zero; done'";
        host.docker(&format!("run -d --name c1 busybox {noise}")).ok();
        // More of them than one connection to the shim has room for.
        let deaf: Vec<UnixStream> = (0..8).map(|_| attach(host, "c1").unwrap()).collect();
        host.docker("exec c1 sh -c 'sleep 1; echo hi'").code(0).stdout("hi\n");
        host.docker("top c1").ok();
        host.docker("kill c1").ok();
        host.docker("wait c1").code(0).stdout("137\n");
        host.docker("rm c1").ok();
        drop(deaf);
    });
}

#[test]
fn what_removes_itself_goes_at_the_next_start_even_if_it_never_came_up() {
    on_host_with_shims(|host| {
        host.docker("create --rm --name goes busybox true").ok();
        host.docker("create --name stays busybox true").ok();
        host.end_daemon(Signal::KILL);
        host.start_daemon();
        host.docker("inspect goes").code(1);
        host.docker("inspect stays").ok();
    });
}

/// A client at a container's output that reads none of it.
fn attach(host: &Host, container: &str) -> std::io::Result<UnixStream> {
    let mut client = UnixStream::connect(&host.places().socket)?;
    let target = format!("/containers/{container}/attach?stream=1&stdout=1");
    let upgrade = "Connection: Upgrade\r\nUpgrade: tcp";
    write!(client, "POST {target} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n")?;
    Ok(client)
}
