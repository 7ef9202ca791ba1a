//! `--restart`, `update`: containers that are started again when they have ended.

use rustix::process::Signal;
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host, peer};

/// Ends with 3 as soon as it runs.
const FAILS: &str = "busybox sh -c 'echo run; exit 3'";
/// Ends with 3 when it is told to by [`end_run`].
const LASTS: &str = r#"busybox sh -c 'trap "exit 3" USR1; trap "exit 0" TERM; echo run; while :; do sleep 0.1; done'"#;

fn status(host: &Host, name: &str) -> String {
    host.inspect(name, "{{.State.Status}}")
}

fn restarts(host: &Host, name: &str) -> Option<u32> {
    host.inspect(name, "{{.RestartCount}}").parse().ok()
}

fn pid(host: &Host, name: &str) -> String {
    host.inspect(name, "{{.State.Pid}}")
}

/// How often it has been started.
fn runs(host: &Host, name: &str) -> usize {
    host.docker(&format!("logs {name}")).lines().len()
}

/// Ends the run of a container that lasts, without its user having stopped it.
fn end_run(host: &Host, name: &str) {
    end_process(host, &pid(host, name));
}

fn end_process(host: &Host, process: &str) {
    until_true("the end of a run", || {
        // The first may come too early, when it isn't listening yet.
        host.run("kill", &["-USR1", process]);
        host.run("test", &["-e", &format!("/proc/{process}")]).code != 0
    });
}

/// Waits until it runs as another process than `before`.
fn until_again(host: &Host, name: &str, before: &str) {
    until_true("another run", || {
        let now = host.inspect(name, "{{.State.Status}} {{.State.Pid}}");
        now.starts_with("running") && now != format!("running {before}")
    });
}

/// Waits until it has been started again for the `count`th time, or is about to be.
fn until_restarted(host: &Host, name: &str, count: u32) {
    until_true("restarts", || restarts(host, name) >= Some(count));
}

/// Passes at least the time in which a container that isn't held back is started again.
fn time_passes(host: &Host) {
    host.docker(&format!("run -d --name clock --restart on-failure:3 {FAILS}")).ok();
    until_true("a container's restarts", || status(host, "clock") == "exited");
    host.docker("rm clock").ok();
}

/// Runs the test, if the daemon is one that containers can do without.
fn on_lasting_host(test: impl FnOnce(&Host)) {
    if peer::is_tared("containers that are started again without it") {
        on_host(test);
    }
}

#[test]
fn failures_are_tried_again_as_often_as_was_said() {
    on_host(|host| {
        host.docker(&format!("run -d --name c1 --restart on-failure:2 {FAILS}")).ok();
        until_true("the last end", || status(host, "c1") == "exited");
        assert_eq!(host.inspect("c1", "{{.RestartCount}} {{.State.ExitCode}}"), "2 3");
        host.docker("logs c1").code(0).stdout("run\nrun\nrun\n");
        let policy = "{{.HostConfig.RestartPolicy.Name}} \
                      {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
        assert_eq!(host.inspect("c1", policy), "on-failure 2");

        host.docker("start c1").ok();
        until_true("the last end", || runs(host, "c1") == 6 && status(host, "c1") == "exited");
        assert_eq!(restarts(host, "c1"), Some(2), "its user's start begins to count anew");

        host.docker("run -d --name c2 --restart on-failure busybox true").ok();
        until_true("its end", || status(host, "c2") == "exited");
        assert_eq!(restarts(host, "c2"), Some(0), "that was no failure");
    });
}

#[test]
fn always_is_also_after_success_and_until_it_is_stopped() {
    on_host(|host| {
        host.docker("run -d --name c1 --restart always busybox echo run").ok();
        until_restarted(host, "c1", 3);
        host.docker("stop c1").ok();
        assert_eq!(status(host, "c1"), "exited");
        let counted = runs(host, "c1");
        time_passes(host);
        assert_eq!((status(host, "c1").as_str(), runs(host, "c1")), ("exited", counted));

        host.docker("start c1").ok();
        until_true("more runs", || runs(host, "c1") > counted + 1);
        host.docker("kill c1").ok();
        assert_eq!(status(host, "c1"), "exited");
        host.docker("start c1").ok();
        host.docker("rm -f c1").ok();
    });
}

#[test]
fn each_run_is_shown_as_it_is() {
    on_host(|host| {
        host.docker(&format!("run -d --name c1 --restart always {LASTS}")).ok();
        let (first, began) = (pid(host, "c1"), host.inspect("c1", "{{.State.StartedAt}}"));
        assert!(host.inspect("c1", "{{.State.FinishedAt}}").starts_with("0001-"));
        end_run(host, "c1");
        until_again(host, "c1", &first);
        assert_ne!(host.inspect("c1", "{{.State.StartedAt}}"), began);
        assert!(!host.inspect("c1", "{{.State.FinishedAt}}").starts_with("0001-"));
        let state =
            "{{.State.Running}} {{.State.Restarting}} {{.State.ExitCode}} {{.RestartCount}}";
        assert_eq!(host.inspect("c1", state), "true false 0 1");
        host.docker("exec c1 true").ok();
    });
}

#[test]
fn one_that_waits_to_be_started_again_runs_and_has_no_process() {
    on_host(|host| {
        host.docker(&format!("run -d --name c1 --restart always {FAILS}")).ok();
        // The waits are long by now.
        until_restarted(host, "c1", 5);
        until_true("its waiting", || {
            let format = "{{.State.Status}} {{.State.Running}} {{.State.Restarting}} \
                          {{.State.ExitCode}} {{.State.Pid}}";
            host.inspect("c1", format) == "restarting true true 3 0"
        });
        until_true("the list", || {
            host.docker("ps --format '{{.State}} {{.Status}}'")
                .stdout
                .contains("restarting Restarting (3) ")
        });
        until_true("the filter", || {
            host.docker("ps -q --filter status=restarting").lines().len() == 1
        });
        for command in ["exec c1 true", "top c1", "pause c1"] {
            until_true(command, || {
                let refused = host.docker(command);
                refused.code != 0
                    && refused.stderr.contains("is restarting, wait until the container is running")
            });
        }
        until_true("attach", || {
            let answer = host.post("/containers/c1/attach?stream=1&stdout=1", "");
            answer.status == 409 && answer.message().contains("is restarting, wait until")
        });
        until_true("rm", || {
            host.docker("rm c1").stderr.contains(
                "container is restarting: stop the container before removing or force remove",
            )
        });
        host.docker("start c1").code(0).stdout("c1\n");
        host.docker("rename c1 c2").ok();
        until_true("its waiting", || status(host, "c2") == "restarting");
        host.docker("rm -f c2").ok();
    });
}

#[test]
fn each_end_is_told_and_the_log_is_followed_over_all_runs() {
    on_host(|host| {
        host.docker(&format!("create --name c1 --restart on-failure:2 {FAILS}")).ok();
        host.docker("start c1").ok();
        if peer::dockerd_root().is_none() {
            let logs = host.docker("logs -f c1");
            logs.code(0).stdout("run\nrun\nrun\n");
        }
        until_true("the last end", || status(host, "c1") == "exited");
        let format = "'{{.Action}} {{index .Actor.Attributes \"exitCode\"}}'";
        let watcher = host.docker_running(&format!(
            "events --since 1h --filter type=container --filter container=c1 --format {format}"
        ));
        host.docker("rm c1").ok();
        watcher.wait_for_stdout("destroy");
        let told = watcher.stdout();
        let told: Vec<_> = told.lines().map(str::trim).collect();
        let expected = ["create", "start", "die 3", "start", "die 3", "start", "die 3", "destroy"];
        assert_eq!(told, expected);
    });
}

#[test]
fn waiting_ends_with_each_run() {
    on_host(|host| {
        host.docker(&format!("run -d --name c1 --restart always {LASTS}")).ok();
        let mut waiter = host.docker_running("wait c1");
        // It may come after the first end, or the second; then another is its.
        until_true("the end of the wait", || {
            let before = pid(host, "c1");
            end_run(host, "c1");
            until_again(host, "c1", &before);
            !waiter.is_running()
        });
        waiter.wait().code(0).stdout("3\n");

        let mut attached = host.docker_running("attach c1");
        until_true("the end of the attachment", || {
            let before = pid(host, "c1");
            end_run(host, "c1");
            until_again(host, "c1", &before);
            !attached.is_running()
        });
    });
}

#[test]
fn what_makes_no_sense_is_refused_as_docker_refuses_it() {
    on_host(|host| {
        host.docker("run --rm --restart always busybox true")
            .code(125)
            .stderr_has_one_of(&["conflicting options", "can't create 'AutoRemove' container"]);
        let body = r#"{"Image":"busybox","HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}}"#;
        let answer = host.post("/containers/create", body);
        assert_eq!(answer.status, 400);
        assert!(
            answer.message().contains("can't create 'AutoRemove' container with restart policy")
        );
        host.docker("run --rm --name c1 -d busybox sleep 1000").ok();
        host.docker("update --restart always c1").code(1).stderr_has(
            "Restart policy cannot be updated because AutoRemove is enabled for the container",
        );
    });
}

#[test]
fn a_policy_can_be_changed_while_it_runs() {
    on_host(|host| {
        host.docker(&format!("run -d --name c1 {LASTS}")).ok();
        let first = pid(host, "c1");
        host.docker("update --restart unless-stopped c1").code(0).stdout("c1\n");
        assert_eq!(host.inspect("c1", "{{.HostConfig.RestartPolicy.Name}}"), "unless-stopped");
        end_run(host, "c1");
        until_again(host, "c1", &first);
        host.docker("update --restart no c1").ok();
        end_run(host, "c1");
        until_true("its end", || status(host, "c1") == "exited");
        time_passes(host);
        assert_eq!(status(host, "c1"), "exited");
    });
}

#[test]
fn limits_can_be_changed_and_last_over_restarts() {
    on_host(|host| {
        host.docker(&format!("run -d --name c1 --restart always -m 64m {LASTS}")).ok();
        let limits = |host: &Host| {
            let memory = host.cgroup_file("c1", &["memory.max", "memory.limit_in_bytes"]);
            let pids = host.cgroup_file("c1", &["pids.max"]);
            format!("{} {}", memory.trim(), pids.trim())
        };
        host.docker("update -m 96m --memory-swap 192m --pids-limit 50 c1").ok();
        assert_eq!(limits(host), "100663296 50");
        assert_eq!(
            host.inspect("c1", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}"),
            "100663296 50"
        );
        let first = pid(host, "c1");
        end_run(host, "c1");
        until_again(host, "c1", &first);
        assert_eq!(limits(host), "100663296 50");
        host.docker("update -m 1g c1").code(1).stderr_has("update the memoryswap at the same time");
        host.docker("update -m 1m c1").code(1).stderr_has("Minimum memory limit allowed is 6MB");
        host.docker("restart -t 0 c1").ok();
        assert_eq!(limits(host), "100663296 50");
    });
}

#[test]
fn a_restart_by_its_user_is_no_end_of_its_policy() {
    on_host(|host| {
        host.docker(&format!("run -d --name c1 --restart always {LASTS}")).ok();
        let first = pid(host, "c1");
        end_run(host, "c1");
        until_again(host, "c1", &first);
        host.docker("restart c1").ok();
        assert_eq!(restarts(host, "c1"), Some(0));
        let now = pid(host, "c1");
        end_run(host, "c1");
        until_again(host, "c1", &now);
        assert_eq!(restarts(host, "c1"), Some(1));
    });
}

#[test]
fn a_network_that_is_shared_outlives_the_processes_on_both_sides() {
    on_lasting_host(|host| {
        let serve = r#"busybox sh -c '
            mkdir -p /www; echo page > /www/index.html; httpd -h /www -p 80
            trap "exit 3" USR1; while :; do sleep 0.1; done'"#;
        host.docker(&format!("run -d --name web --restart always {serve}")).ok();
        host.docker(&format!(
            "run -d --name side --restart always --network container:web {LASTS}"
        ))
        .ok();
        let fetches = || host.docker("exec side wget -qO- http://127.0.0.1/").stdout == "page\n";
        until_true("the page", fetches);
        for end in ["web", "side", "web"] {
            let before = pid(host, end);
            end_run(host, end);
            until_again(host, end, &before);
            until_true("the page", fetches);
        }
    });
}

#[test]
fn one_that_shares_processes_comes_back_after_the_one_that_has_them() {
    on_lasting_host(|host| {
        host.docker(&format!("run -d --name main --restart always {LASTS}")).ok();
        host.docker(&format!("run -d --name side --restart always --pid container:main {LASTS}"))
            .ok();
        let before = [pid(host, "main"), pid(host, "side")];
        // The first process of their namespace takes all with it.
        end_run(host, "main");
        until_again(host, "main", &before[0]);
        until_again(host, "side", &before[1]);
        assert!(restarts(host, "side") >= Some(1));
        host.docker("stop -t 0 side").ok();
        host.docker("stop -t 0 main").ok();
        time_passes(host);
        assert_eq!([status(host, "main"), status(host, "side")], ["exited", "exited"]);
    });
}

#[test]
fn containers_are_started_again_while_the_daemon_is_away() {
    on_lasting_host(|host| {
        host.docker(&format!("run -d --name c1 --restart on-failure:3 {FAILS}")).ok();
        host.docker(&format!("run -d --name c2 --restart always {LASTS}")).ok();
        let log = host.inspect("c1", "{{.LogPath}}");
        let first = pid(host, "c2");
        host.end_daemon(Signal::KILL);
        end_process(host, &first);
        until_true("four runs", || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.lines().count() == 4)
        });
        host.start_daemon();
        until_true("the end of the last", || status(host, "c1") == "exited");
        assert_eq!(host.inspect("c1", "{{.RestartCount}} {{.State.ExitCode}}"), "3 3");
        until_again(host, "c2", &first);
        assert_eq!(restarts(host, "c2"), Some(1));
        assert!(!host.inspect("c2", "{{.State.FinishedAt}}").starts_with("0001-"));
        host.docker("stop c2").ok();
        assert_eq!(status(host, "c2"), "exited");
    });
}

#[test]
fn a_stop_is_never_undone_and_a_policy_never_forgotten() {
    on_lasting_host(|host| {
        host.docker(&format!("run -d --name loops --restart unless-stopped {FAILS}")).ok();
        host.docker(&format!("run -d --name lasts --restart unless-stopped {LASTS}")).ok();
        for round in 0..4 {
            let stop = host.docker_running("stop -t 0 loops lasts");
            // Each round kills it a little later in the stop.
            for _ in 0..round {
                host.docker("version");
            }
            host.end_daemon(Signal::KILL);
            let answered = stop.wait().stdout;
            host.start_daemon();
            if !answered.is_empty() {
                time_passes(host);
            }
            for name in answered.lines() {
                assert_eq!(status(host, name), "exited", "{name} was stopped");
            }
            host.docker("start loops lasts").ok();
            let (counted, before) = (runs(host, "loops"), pid(host, "lasts"));
            until_true("more runs", || runs(host, "loops") > counted);
            end_run(host, "lasts");
            until_again(host, "lasts", &before);
        }
        host.docker("stop -t 0 loops lasts").ok();
        host.end_daemon(Signal::KILL);
        host.start_daemon();
        time_passes(host);
        assert_eq!([status(host, "loops"), status(host, "lasts")], ["exited", "exited"]);
    });
}

/// Sends a signal to the shim of a container, by the container's id.
fn signal_shim(host: &Host, id: &str, signal: &str) {
    let pids = host.run("pgrep", &["-f", &format!("containerd-shim-tare-v2.*{id}")]);
    for pid in pids.ok().lines() {
        host.run("kill", &[signal, pid]).ok();
    }
}

#[test]
fn what_the_shim_cannot_do_the_daemon_does() {
    on_lasting_host(|host| {
        host.docker(&format!("run -d --name c1 --restart on-failure {LASTS}")).ok();
        let (id, first) = (host.inspect("c1", "{{.Id}}"), pid(host, "c1"));
        signal_shim(host, &id, "-KILL");
        until_again(host, "c1", &first);
        assert_eq!(restarts(host, "c1"), Some(1));
        host.docker("stop c1").ok();
        assert_eq!(status(host, "c1"), "exited");
    });
}

#[test]
fn after_all_has_died_what_is_to_run_comes_back_in_order() {
    on_lasting_host(|host| {
        // The one that depends is made last, and its name comes first.
        for (name, flags) in [
            ("main", "--restart always"),
            ("ever", "--restart on-failure"),
            ("never", ""),
            ("stopped", "--restart unless-stopped"),
            ("again", "--restart always"),
            ("a-side", "--restart unless-stopped --network container:main --pid container:main"),
        ] {
            host.docker(&format!("run -d --name {name} {flags} {LASTS}")).ok();
        }
        host.docker("stop stopped again").ok();
        let names = ["main", "ever", "never", "a-side"];
        let ids = names.map(|name| host.inspect(name, "{{.Id}}"));
        let pids = names.map(|name| pid(host, name));
        host.end_daemon(Signal::KILL);
        ids.iter().for_each(|id| signal_shim(host, id, "-KILL"));
        for pid in &pids {
            host.run("kill", &["-KILL", pid]);
        }
        host.start_daemon();
        for name in ["main", "ever", "a-side", "again"] {
            until_true(name, || status(host, name) == "running");
        }
        assert_eq!([status(host, "never"), status(host, "stopped")], ["exited", "exited"]);
        until_true("the joined processes", || host.docker("exec a-side kill -0 1").code == 0);
    });
}
