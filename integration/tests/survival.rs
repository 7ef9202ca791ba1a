//! Nothing that runs depends on the daemon: it is killed, and what it started goes on.

use rustix::process::Signal;
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host, peer};

/// Counts tenths of seconds on its output, and serves a page on port 80.
const SERVER: &str = r#"busybox sh -c '
    mkdir /www; echo page > /www/index.html; httpd -h /www -p 80
    trap "exit 7" TERM
    while :; do i=$((i+1)); echo line $i; sleep 0.1; done'"#;

/// Runs the test, if the daemon is one that leaves containers running and logged.
fn on_lasting_host(test: impl FnOnce(&Host)) {
    if peer::is_tared("containers that outlive it in full") {
        on_host(test);
    }
}

fn serves(host: &Host) -> bool {
    host.fetch("http://127.0.0.1:8080/") == "page\n"
}

fn lines(host: &Host) -> usize {
    host.docker("logs web").lines().len()
}

#[test]
fn a_killed_daemon_takes_nothing_with_it_and_the_next_takes_over() {
    on_lasting_host(|host| {
        host.docker(&format!("run -d --name web -p 8080:80 {SERVER}")).ok();
        until_true("the page", || serves(host));
        let before = host.inspect("web", "{{.State.Pid}} {{.State.StartedAt}}");
        let counted = lines(host);

        host.end_daemon(Signal::KILL);
        assert!(serves(host), "the page is served without the daemon");
        let log = host.places().data_root.join("containers");
        let size = || tree_size(&log);
        let grown = size();
        until_true("the log growing without the daemon", || size() > grown + 100);

        host.start_daemon();
        assert_eq!(host.inspect("web", "{{.State.Pid}} {{.State.StartedAt}}"), before);
        host.docker("ps --format '{{.Names}} {{.Status}}'").stdout_has("web Up ");
        assert!(serves(host));
        assert!(lines(host) > counted);
        let logs = host.docker("logs web");
        for (n, line) in logs.lines().into_iter().enumerate() {
            assert_eq!(line, format!("line {}", n + 1), "every line is there, in order");
        }
        host.docker("exec web true").ok();
        host.docker("stop web").ok();
        assert_eq!(host.inspect("web", "{{.State.Status}} {{.State.ExitCode}}"), "exited 7");
        assert!(!serves(host));
    });
}

#[test]
fn a_terminated_daemon_leaves_containers_running_too() {
    on_lasting_host(|host| {
        host.docker(&format!("run -d --name web -p 8080:80 {SERVER}")).ok();
        until_true("the page", || serves(host));
        host.end_daemon(Signal::TERM);
        assert!(serves(host));
        assert!(!host.places().socket.exists());
        host.start_daemon();
        assert_eq!(host.inspect("web", "{{.State.Status}}"), "running");
    });
}

#[test]
fn what_ends_while_the_daemon_is_down_is_known_afterwards() {
    on_lasting_host(|host| {
        let fifo = host.scratch("shared").join("end");
        host.run("mkfifo", &[&fifo.display().to_string()]).ok();
        let shared = format!("-v {}:/s", host.scratch("shared").display());
        host.docker(&format!(
            "run -d --name c1 {shared} busybox sh -c 'cat /s/end; echo bye; exit 11'"
        ))
        .ok();
        host.docker(&format!("run -d --rm --name c2 {shared} busybox sh -c 'cat /s/end; exit 12'"))
            .ok();
        let pids = [host.inspect("c1", "{{.State.Pid}}"), host.inspect("c2", "{{.State.Pid}}")];
        host.end_daemon(Signal::KILL);
        until_true("both ends", || {
            // Each reader of the pipe ends when a writer has gone.
            let write = format!("timeout 1 sh -c ': > {}'", fifo.display());
            host.run("sh", &["-c", &write]);
            pids.iter().all(|pid| host.run("test", &["-e", &format!("/proc/{pid}")]).code != 0)
        });
        host.start_daemon();
        until_true("the exit code", || {
            host.inspect("c1", "{{.State.Status}} {{.State.ExitCode}}") == "exited 11"
        });
        host.docker("logs c1").code(0).stdout("bye\n");
        until_true("the removal of c2", || host.docker("inspect c2").code == 1);
        host.docker("start c1").ok();
    });
}

#[test]
fn a_terminal_can_be_attached_to_by_the_next_daemon() {
    on_lasting_host(|host| {
        let mut terminal = host.docker_at_terminal("run -it --name c1 busybox sh");
        terminal.wait_for("# ");
        terminal.write(b"word=kept; echo ready\n");
        terminal.wait_for("ready\r\n");
        host.end_daemon(Signal::KILL);
        host.start_daemon();
        let mut terminal = host.docker_at_terminal("attach c1");
        until_true("the shell answering", || {
            terminal.write(b"echo word=$word\n");
            terminal.screen().contains("word=kept")
        });
        terminal.write(b"exit 3\n");
        assert_eq!(terminal.wait(), 3);
    });
}

#[test]
fn it_can_be_killed_at_any_moment() {
    on_lasting_host(|host| {
        let created = || host.docker("ps -aq").lines().len();
        for round in 0..9 {
            let before = created();
            let mut running: Vec<_> = (0..3)
                .map(|n| {
                    host.docker_running(&format!("run -d --name r{round}-{n} busybox sleep 1000"))
                })
                .collect();
            // Each round kills it a little further into the three starts.
            until_true("something being under way", || created() >= before + round % 3);
            host.end_daemon(Signal::KILL);
            drop(running.drain(..));
            host.start_daemon();
        }
        // Whatever came of them, each is in one of two states, and can be removed.
        for line in host.docker("ps -a --format '{{.State}}'").lines() {
            assert!(["running", "created", "exited"].contains(&line), "{line}");
        }
    });
}

/// Bytes of all files below a directory.
fn tree_size(directory: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => tree_size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
