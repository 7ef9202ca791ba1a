//! `create`, `start`, `stop`, `kill`, `restart`, `wait`, `rename`, `rm`: a container's life.

use tare_integration::wait::until_true;
use tare_integration::{Host, on_host};

/// A container that says when it is asked to stop, and then does.
const POLITE: &str =
    r#"sh -c 'trap "echo asked; exit 5" TERM; echo up; while :; do sleep 0.1; done'"#;

fn state(host: &Host, name: &str) -> String {
    host.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")
}

fn started_polite(host: &Host, flags: &str) {
    host.docker(&format!("run -d {flags} busybox {POLITE}")).ok();
    let name = host.docker("ps -lq").ok().to_owned();
    until_true("its first line", || host.docker(&format!("logs {name}")).stdout.contains("up"));
}

#[test]
fn created_then_started_attached() {
    on_host(|host| {
        host.docker("create --name c1 busybox sh -c 'echo hello; exit 4'").ok();
        assert_eq!(state(host, "c1"), "created 0");
        host.docker("start -a c1").code(4).stdout("hello\n");
        assert_eq!(state(host, "c1"), "exited 4");
        // It can be started again, and its files are as they were left.
        host.docker("start c1").code(0).stdout("c1\n");
        host.docker("wait c1").code(0).stdout("4\n");
        host.docker("logs c1").code(0).stdout("hello\nhello\n");
    });
}

#[test]
fn every_byte_is_seen_by_the_one_who_attached_before_the_start() {
    on_host(|host| {
        host.docker("create -i --name c1 busybox sh -c 'cat; seq 1 1000'").ok();
        let ran = host.docker_with_input("start -ai c1", b"first\n");
        let numbers: String = (1..=1000).map(|n| format!("{n}\n")).collect();
        ran.code(0).stdout(&format!("first\n{numbers}"));
    });
}

#[test]
fn files_survive_a_restart() {
    on_host(|host| {
        host.docker("run --name c1 busybox sh -c 'echo x >> /kept; wc -l < /kept'").stdout("1\n");
        host.docker("start -a c1").code(0).stdout("2\n");
        host.docker("restart c1").ok();
        host.docker("wait c1").ok();
        host.docker("logs c1").stdout("1\n2\n3\n");
    });
}

#[test]
fn stop_asks_and_then_kills() {
    on_host(|host| {
        started_polite(host, "--name polite");
        host.docker("stop polite").code(0).stdout("polite\n");
        assert_eq!(state(host, "polite"), "exited 5");
        host.docker("logs polite").stdout("up\nasked\n");
        // The first process of a container that ignores the signal is killed.
        host.docker("run -d --name deaf busybox sleep 1000").ok();
        host.docker("stop -t 1 deaf").code(0);
        assert_eq!(state(host, "deaf"), "exited 137");
        host.docker("stop deaf").code(0).stdout("deaf\n");
        host.docker("stop nobody").code(1).stderr_has("No such container: nobody");
    });
}

#[test]
fn the_stop_signal_can_be_chosen() {
    on_host(|host| {
        let script = r#"sh -c 'trap "exit 6" USR1; echo up; while :; do sleep 0.1; done'"#;
        host.docker(&format!("run -d --name c1 --stop-signal USR1 busybox {script}")).ok();
        until_true("its first line", || host.docker("logs c1").stdout.contains("up"));
        host.docker("stop c1").ok();
        assert_eq!(state(host, "c1"), "exited 6");
    });
}

#[test]
fn kill_sends_any_signal() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        host.docker("kill c1").code(0).stdout("c1\n");
        until_true("the end", || state(host, "c1") == "exited 137");
        started_polite(host, "--name c2");
        host.docker("kill -s TERM c2").ok();
        until_true("the end", || state(host, "c2") == "exited 5");
        started_polite(host, "--name c3");
        host.docker("kill --signal 15 c3").ok();
        until_true("the end", || state(host, "c3") == "exited 5");
        host.docker("kill c3").code(1).stderr_has("is not running");
        host.docker("run -d --name c4 busybox sleep 1000").ok();
        host.docker("kill -s NONSENSE c4").code(1).stderr_has("nvalid signal: NONSENSE");
    });
}

#[test]
fn a_container_that_was_terminated_tells_128_and_the_signal() {
    on_host(|host| {
        host.docker("run -d --init --name c1 busybox sleep 1000").ok();
        // The init heeds signals before it starts the program; one that comes sooner passes it by.
        until_true("both", || host.docker("top c1").stdout.matches("sleep 1000").count() == 2);
        host.docker("stop c1").ok();
        assert_eq!(state(host, "c1"), "exited 143");
        host.docker("wait c1").code(0).stdout("143\n");
    });
}

#[test]
fn restart_makes_a_new_process_in_the_same_container() {
    on_host(|host| {
        started_polite(host, "--name c1");
        let before = host.inspect("c1", "{{.Id}} {{.State.Pid}} {{.State.StartedAt}}");
        host.docker("restart c1").code(0).stdout("c1\n");
        let after = host.inspect("c1", "{{.Id}} {{.State.Pid}} {{.State.StartedAt}}");
        assert_eq!(before[..64], after[..64]);
        assert_ne!(before, after);
        assert_eq!(state(host, "c1"), "running 0");
    });
}

#[test]
fn wait_gives_the_code_whenever_it_is_asked() {
    on_host(|host| {
        host.docker("run -d -i --name c1 busybox sh -c 'read x; exit 9'").ok();
        let waiting = host.docker_running("wait c1");
        host.docker_with_input("attach c1", b"go\n").code(9);
        waiting.wait().code(0).stdout("9\n");
        host.docker("wait c1").code(0).stdout("9\n");
        // Clients of old get the whole of the answer at the end, and know of no conditions.
        let answer = host.post("/v1.29/containers/c1/wait?condition=next-exit", "");
        assert_eq!(answer.json()["StatusCode"], 9);
    });
}

#[test]
fn names_can_be_changed_and_only_used_once() {
    on_host(|host| {
        let id = host.docker("create --name web busybox").ok().to_owned();
        let taken = host.docker("create --name web busybox");
        taken
            .code(1)
            .stderr_has("Conflict. The container name \"/web\" is already in use by container");
        taken.stderr_has(&id);
        host.docker("rename web shop").ok();
        assert_eq!(host.inspect("shop", "{{.Name}}"), "/shop");
        host.docker("inspect web").code(1);
        host.docker("create --name web busybox").ok();
        host.docker("rename web shop").code(1).stderr_has("is already in use");
    });
}

#[test]
fn a_container_can_be_named_by_the_start_of_its_id() {
    on_host(|host| {
        let id = host.docker("create busybox").ok().to_owned();
        assert_eq!(host.inspect(&id[..6], "{{.Id}}"), id);
        assert_eq!(host.inspect(&id[..12], "{{.Id}}"), id);
    });
}

#[test]
fn rm_refuses_what_runs_unless_forced() {
    on_host(|host| {
        host.docker("run -d --name web busybox sleep 1000").ok();
        host.docker("rm web").code(1).stderr_has("container is running");
        host.docker("rm -f web").code(0).stdout("web\n");
        host.docker("ps -aq").stdout("");
        host.docker("create --name shop busybox").ok();
        host.docker("rm -v shop").code(0).stdout("shop\n");
        host.docker("rm shop").code(1).stderr_has("No such container: shop");
        host.docker("rm -f shop").code(0);
    });
}

#[test]
fn top_shows_the_processes_as_the_host_sees_them() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sh -c 'sleep 1000 & wait'").ok();
        until_true("two children", || {
            host.docker("top c1").stdout.matches("sleep 1000").count() == 2
        });
        let top = host.docker("top c1");
        let title: Vec<_> = top.lines()[0].split_whitespace().collect();
        assert_eq!(title, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        let pid = host.inspect("c1", "{{.State.Pid}}");
        top.stdout_has(&format!(" {pid} "));
        host.docker("top c1 -o pid,comm").code(0).stdout_has("sleep");
        host.docker("stop -t 0 c1").ok();
        host.docker("top c1").code(1).stderr_has("is not running");
    });
}

#[test]
fn pause_stops_time_for_it() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        host.docker("pause c1").ok();
        assert_eq!(state(host, "c1"), "paused 0");
        host.docker("exec c1 true").code(1).stderr_has("is paused");
        host.docker("unpause c1").ok();
        host.docker("exec c1 true").ok();
    });
}
