//! A container that is started again, by its policy and without its manager.

// A test may stop at the first thing that is wrong, in its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use support::client::{Client, CreateOptions, PATIENCE, is_alive};
use support::events::{Event, Published};
use support::left::left_in_the_end;
use support::supervision::{Watch, is_ended, is_running, is_waiting, pid, policy};
use support::{Home, bundle};
use tare_proto::containerd::task::v3 as api;
use tare_proto::containerd::v1::types::Status;
use tare_proto::tare::shim::v1::restart_policy::When;
use tare_proto::tare::shim::v1::{self as tare};
use tonic::Code;

/// Counts the runs in a file, and sets `n` to the number of this one.
const COUNT: &str = "n=0; read n < /runs; n=$((n+1)); echo $n > /runs;";
/// Waits for the test's word.
const WAIT: &str = "until test -e /go; do sleep 0.02; done;";

fn always() -> CreateOptions {
    CreateOptions { restart: Some(policy(When::Always, 0)), ..Default::default() }
}

fn on_failure(retries: u32) -> CreateOptions {
    CreateOptions { restart: Some(policy(When::OnFailure, retries)), ..Default::default() }
}

fn never() -> tare::RestartPolicy {
    policy(When::Never, 0)
}

/// A container that counts its runs, and then does what `script` says, with all that is told of it
/// from before its start.
async fn start(name: &str, script: &str, options: &CreateOptions) -> (Client, Watch) {
    start_with(name, script, options, |_| {}).await
}

async fn start_with(
    name: &str,
    script: &str,
    options: &CreateOptions,
    change: impl FnOnce(&mut serde_json::Value),
) -> (Client, Watch) {
    let home = Home::new(&format!("re-{name}"));
    let mut config = bundle::write(&home.bundle(), &home.id, &format!("{COUNT} {script}"));
    change(&mut config);
    bundle::write_config(&home.bundle(), &config);
    std::fs::write(home.bundle().join("rootfs/runs"), "0\n").unwrap();
    let mut client = Client::start(home).await;
    client.create(options).await.unwrap();
    let watch = client.watch().await;
    client.start_process("").await.unwrap();
    (client, watch)
}

/// Ends it for good.
async fn stop(client: &mut Client) {
    let condition = client.set_policy(never()).await.unwrap();
    if !is_ended(&condition) {
        let killed = client.kill("", 9).await;
        assert!(killed.is_ok() || killed.unwrap_err().code() == Code::NotFound);
        client.watch().await.ended().await;
    }
}

async fn finish(mut client: Client) {
    stop(&mut client).await;
    client.delete("").await.unwrap();
    client.end().await;
    assert_eq!(left_in_the_end(&client.home).await, Vec::<String>::new());
}

/// Gives the word that [`WAIT`] waits for.
fn go(client: &Client) {
    std::fs::write(client.home.bundle().join("rootfs/go"), "").unwrap();
}

fn delay(waiting: &tare::WaitingPhase) -> Duration {
    let time = |timestamp: Option<prost_types::Timestamp>| {
        SystemTime::try_from(timestamp.unwrap()).unwrap()
    };
    let ending = waiting.ending.clone().unwrap();
    time(waiting.restart_at).duration_since(time(ending.exited_at)).unwrap()
}

#[tokio::test]
async fn always_means_after_every_end() {
    let (mut client, mut watch) =
        start("always", &format!("test $n = 2 || exit 3; {WAIT}"), &always()).await;
    let first = watch.waiting(1).await;
    let ending = first.ending.clone().unwrap();
    assert_eq!((ending.status, ending.error.as_str()), (3, ""));
    assert!(ending.started_at.unwrap().seconds <= ending.exited_at.unwrap().seconds);
    let second = watch.running(1).await;
    assert_eq!(client.state("").await.unwrap().pid, second);
    let record = client.home.record();
    assert_eq!((record.pid, record.exit, record.restarts), (second, None, 1));
    assert_eq!(record.last_exit.unwrap().status, 3);
    go(&client);
    let then = watch.waiting(2).await;
    assert_eq!(then.ending.clone().unwrap().status, 0);
    let next = watch.until(|it| it.restarts == 3).await;
    assert_eq!(next.last, then.ending);
    // It doubles; what is told is that, and the time that the record takes.
    for (waiting, least) in [(first, 100), (then, 200)] {
        let least = Duration::from_millis(least);
        assert!((least..least * 2 + Duration::from_secs(1)).contains(&delay(&waiting)));
    }
    finish(client).await;
}

#[tokio::test]
async fn every_run_is_published_and_no_probe_is() {
    let mut home = Home::new("re-events");
    bundle::write(&home.bundle(), &home.id, &format!("{WAIT} rm /go; exit 3"));
    home.events = Some(home.path("events"));
    let mut published = Published::listen(&home.path("events"));
    let mut client = Client::start(home).await;
    let health = tare::HealthCheck {
        process: bundle::process(&["true"]).to_string().into(),
        interval_ns: 50_000_000,
        timeout_ns: 20_000_000_000,
        start_interval_ns: 50_000_000,
        retries: 1,
        ..Default::default()
    };
    client.create(&CreateOptions { health: Some(health), ..always() }).await.unwrap();
    assert_eq!(published.next().await, Event::Other("/tasks/create".into()));
    let mut watch = client.watch().await;
    client.start_process("").await.unwrap();
    for run in 0..3 {
        let pid = watch.running(run).await;
        let healthy = tare::health::Status::Healthy;
        watch.until(|it| it.health.as_ref().is_some_and(|it| it.status() == healthy)).await;
        assert_eq!(published.next().await, Event::Start { pid });
        go(&client);
        assert_eq!(published.next().await, Event::Exit { pid, status: 3 });
    }
    finish(client).await;
}

#[tokio::test]
async fn success_is_no_failure() {
    let (client, mut watch) = start("success", "test $n = 2", &on_failure(0)).await;
    let (ending, restarts) = watch.ended().await;
    assert_eq!((ending.status, restarts), (0, 1));
    assert_eq!(client.home.record().restart_at, None);
    finish(client).await;
}

#[tokio::test]
async fn retries_have_an_end() {
    let (mut client, mut watch) = start("retries", "exit 4", &on_failure(2)).await;
    let (ending, restarts) = watch.ended().await;
    assert_eq!((ending.status, restarts), (4, 2));
    let record = client.home.record();
    assert_eq!((record.exit.unwrap().status, record.restarts), (4, 2));
    assert_eq!(client.wait("").await, 4);
    finish(client).await;
}

#[tokio::test]
async fn without_a_policy_it_stays_down() {
    let (client, mut watch) = start("never", "exit 4", &CreateOptions::default()).await;
    let (ending, restarts) = watch.ended().await;
    assert_eq!((ending.status, restarts), (4, 0));
    finish(client).await;
}

#[tokio::test]
async fn a_container_that_was_never_let_go_is_not_started_again() {
    let home = Home::new("re-created");
    bundle::write(&home.bundle(), &home.id, "true");
    let mut client = Client::start(home).await;
    client.create(&always()).await.unwrap();
    let mut watch = client.watch().await;
    let condition = watch.next().await.unwrap();
    assert!(matches!(condition.phase, Some(tare::condition::Phase::Created(_))));
    client.kill("", 9).await.unwrap();
    let (ending, restarts) = watch.ended().await;
    assert_eq!((ending.status, ending.started_at, restarts), (137, None, 0));
    client.finish().await;
}

#[tokio::test]
async fn a_wait_answers_the_end_of_the_run_that_was_there() {
    let (mut client, mut watch) = start("wait", "sleep 1000", &always()).await;
    let first = watch.running(0).await;
    let waiting = tokio::spawn({
        let (mut task, id) = (client.task.clone(), client.id());
        async move { task.wait(api::WaitRequest { id, exec_id: String::new() }).await }
    });
    // The question has been asked when a later one is answered.
    tokio::task::yield_now().await;
    client.state("").await.unwrap();
    // An end that anybody's kill -9 brings.
    let process = rustix::process::Pid::from_raw(first.cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().into_inner().exit_status, 137);
    let second = watch.running(1).await;
    assert_ne!(first, second);
    let connected = client.task.connect(api::ConnectRequest { id: client.id() }).await.unwrap();
    assert_eq!(connected.into_inner().task_pid, second);
    client.kill("", 15).await.unwrap_or_default();
    client.kill("", 9).await.unwrap();
    watch.running(2).await;
    finish(client).await;
}

#[tokio::test]
async fn while_it_waits_it_is_stopped() {
    let (mut client, mut watch) =
        start("waits", "test $n -gt 6 || exit 1; sleep 1000", &always()).await;
    // The sixth wait is 3.2 s long.
    let waiting = watch.waiting(6).await;
    let state = client.state("").await.unwrap();
    assert_eq!((state.status, state.exit_status), (Status::Stopped.into(), 1));
    let late = client.kill("", 15).await.unwrap_err();
    assert_eq!((late.code(), late.message()), (Code::NotFound, "process already finished"));
    let exec = client.exec("e", bundle::process(&["true"]), &CreateOptions::default()).await;
    assert_eq!(exec.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(client.wait("").await, 1);
    let record = client.home.record();
    assert_eq!(record.exit.unwrap().status, 1);
    assert!(record.restart_at.is_some());
    let open = tare::AttachOpen { id: client.id(), stdout: true, ..Default::default() };
    let open = tare::attach_request::Message::Open(open);
    let request = tokio_stream::once(tare::AttachRequest { message: Some(open) });
    let refused = client.streams.attach(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let again = client.set_policy(policy(When::Always, 0)).await.unwrap();
    assert!(is_waiting(&again), "{again:?} after {waiting:?}");
    watch.running(6).await;
    finish(client).await;
}

#[tokio::test]
async fn a_policy_of_never_calls_off_what_is_waited_for() {
    let (client, mut watch) = start("off", "exit 1", &always()).await;
    // The sixth wait is 3.2 s long.
    watch.waiting(6).await;
    let condition = client.set_policy(never()).await.unwrap();
    assert!(is_ended(&condition), "{condition:?}");
    assert_eq!(client.home.record().restart_at, None);
    assert_eq!(watch.ended().await.0.status, 1);
    // Nor does another policy bring it back.
    assert!(is_ended(&client.set_policy(policy(When::Always, 0)).await.unwrap()));
    tokio::time::sleep(Duration::from_millis(3300)).await;
    let runs = std::fs::read_to_string(client.home.bundle().join("rootfs/runs")).unwrap();
    assert_eq!(runs, "6\n");
    finish(client).await;
}

#[tokio::test]
async fn a_policy_that_comes_while_it_runs_holds_for_its_end() {
    let (mut client, mut watch) = start("holds", "sleep 1000", &always()).await;
    let condition = client.set_policy(never()).await.unwrap();
    assert!(is_running(&condition, 0), "{condition:?}");
    client.kill("", 9).await.unwrap();
    assert_eq!(watch.ended().await.1, 0);
    client.finish().await;
    let (mut client, mut watch) = start("holds-too", "sleep 1000", &CreateOptions::default()).await;
    client.set_policy(policy(When::OnFailure, 1)).await.unwrap();
    client.kill("", 9).await.unwrap();
    watch.running(1).await;
    finish(client).await;
}

#[tokio::test]
async fn a_policy_that_comes_at_the_moment_of_the_end_holds() {
    let (mut client, mut watch) = start("moment", "sleep 1000", &always()).await;
    // From well before the end to well after the next start.
    for delay in (0..300).step_by(15) {
        watch.running(0).await;
        client.kill("", 9).await.unwrap();
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let condition = client.set_policy(never()).await.unwrap();
        assert!(!is_waiting(&condition), "{condition:?}");
        if !is_ended(&condition) {
            // The run that the answer named is the last one.
            let (last, mut task, id) = (pid(&condition), client.task.clone(), client.id());
            let (signal, all, exec_id) = (9, false, String::new());
            let _ = task.kill(api::KillRequest { id, exec_id, signal, all }).await;
            client.watch().await.ended().await;
            assert_eq!(client.state("").await.unwrap().pid, last, "after {delay} ms");
        }
        client.delete("").await.unwrap();
        assert!(watch.until_deleted().await, "there was a run after the last one");
        client.create(&always()).await.unwrap();
        watch = client.watch().await;
        client.start_process("").await.unwrap();
    }
    finish(client).await;
}

#[tokio::test]
async fn every_run_is_in_the_log_and_in_order() {
    let script = "i=0; while test $i -lt 500; do i=$((i+1)); echo run $n line $i; done; \
                  echo -n cut $n; test $n -lt 4";
    for driver_options in [vec![], vec![("max-size", "20k"), ("max-file", "20")]] {
        let options = CreateOptions { log_options: driver_options.clone(), ..on_failure(0) };
        // The fourth run fails: turned around, so that three are followed by another.
        let (client, mut watch) =
            start("log", &format!("{script} && exit 1; exit 0"), &options).await;
        assert_eq!(watch.ended().await.1, 3);
        let mut text = String::new();
        for number in (1..20).rev() {
            let path = client.home.path(&format!("container.log.{number}"));
            text += &std::fs::read_to_string(path).unwrap_or_default();
        }
        let rotated = !text.is_empty();
        assert_eq!(rotated, !driver_options.is_empty());
        text += &client.home.log();
        let logged: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut expected = Vec::new();
        for run in 1..=4 {
            expected.extend((1..=500).map(|line| format!("run {run} line {line}\n")));
            expected.push(format!("cut {run}"));
        }
        let logged: Vec<&str> = logged.iter().map(|entry| entry["log"].as_str().unwrap()).collect();
        assert!(logged == expected, "{} of {} lines", logged.len(), expected.len());
        finish(client).await;
    }
}

#[tokio::test]
async fn each_run_has_its_own_clients() {
    let options = CreateOptions { stdin: true, stdin_once: true, ..always() };
    let (mut client, mut watch) = start("clients", "echo run $n; cat; exit 1", &options).await;
    for run in 1..4 {
        watch.running(run - 1).await;
        let attached = client.attach("").await;
        attached.send(format!("input {run}\n").as_bytes());
        attached.close_stdin();
        let output = attached.read_to_end().await.text();
        assert!(output.ends_with(&format!("input {run}\n")), "{output:?}");
    }
    stop(&mut client).await;
    let log = client.home.log();
    for run in 1..4 {
        assert!(log.contains(&format!("input {run}\\n")) && log.contains(&format!("run {run}\\n")));
    }
    finish(client).await;
}

#[tokio::test]
async fn each_run_has_a_terminal_of_its_own() {
    let options = CreateOptions { terminal: true, stdin: true, ..always() };
    let script = "tty; read line; echo run $n got $line; exit 1";
    let change = |config: &mut serde_json::Value| config["process"]["terminal"] = true.into();
    let (mut client, mut watch) = start_with("terminal", script, &options, change).await;
    for run in 1..4 {
        watch.running(run - 1).await;
        let (id, exec_id) = (client.id(), String::new());
        let size = api::ResizePtyRequest { id, exec_id, width: 91, height: 37 };
        client.task.resize_pty(size).await.unwrap();
        let attached = client.attach("").await;
        attached.send(b"hello\n");
        let output = attached.read_to_end().await.text();
        assert!(output.contains(&format!("run {run} got hello")), "{output:?}");
    }
    finish(client).await;
}

#[tokio::test]
async fn execs_end_with_their_run() {
    let (mut client, mut watch) = start("exec", "sleep 1000", &always()).await;
    let none = CreateOptions::default();
    watch.running(0).await;
    for run in 0..3 {
        client.exec("e", bundle::process(&["sleep", "1000"]), &none).await.unwrap();
        let old = client.start_process("e").await.unwrap();
        let wait = tokio::spawn({
            let (mut task, id) = (client.task.clone(), client.id());
            async move { task.wait(api::WaitRequest { id, exec_id: "e".into() }).await }
        });
        let pids = client.task.pids(api::PidsRequest { id: client.id() }).await.unwrap();
        assert_eq!(pids.into_inner().processes.len(), 2);
        client.kill("", 9).await.unwrap();
        assert_eq!(wait.await.unwrap().unwrap().into_inner().exit_status, 137);
        watch.running(run + 1).await;
        assert!(!is_alive(old.cast_signed()));
        assert_eq!(client.state("e").await.unwrap_err().code(), Code::NotFound);
    }
    finish(client).await;
}

#[tokio::test]
async fn a_container_that_waits_can_be_deleted() {
    // At any moment: while it ends, waits, is made again, is let go.
    for delay in (0..240).step_by(30) {
        let (mut client, mut watch) = start("delete", "exit 6", &always()).await;
        watch.waiting(1).await;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let deadline = Instant::now() + PATIENCE;
        let deleted = loop {
            match client.delete("").await {
                // It runs at this very moment.
                Err(status) if status.code() == Code::FailedPrecondition => {
                    assert!(Instant::now() < deadline, "{status}");
                }
                other => break other.unwrap(),
            }
        };
        assert!([6, 137].contains(&deleted.exit_status), "{deleted:?}");
        assert_eq!(client.state("").await.unwrap_err().code(), Code::NotFound);
        client.end().await;
        assert_eq!(left_in_the_end(&client.home).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_watch_ends_with_the_task() {
    let (mut client, mut watch) = start("watch", "exit 6", &CreateOptions::default()).await;
    watch.ended().await;
    client.delete("").await.unwrap();
    assert!(watch.next().await.is_none());
    let request = tare::WatchRequest { id: client.id() };
    let gone = client.supervision.watch(request).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert_eq!(client.set_policy(never()).await.unwrap_err().code(), Code::NotFound);
    client.shutdown().await;
}

#[tokio::test]
async fn what_can_not_be_started_again_is_tried_again() {
    let script = format!("{WAIT} test $n -gt 1 || exit 5; sleep 1000");
    let (client, mut watch) = start("broken", &script, &always()).await;
    let shell = client.home.bundle().join("rootfs/bin/sh");
    std::fs::remove_file(&shell).unwrap();
    go(&client);
    watch.waiting(1).await;
    let waiting = watch.waiting(2).await;
    let ending = waiting.ending.unwrap();
    assert_eq!(ending.status, 128);
    assert!(ending.error.starts_with("OCI runtime create failed: "), "{}", ending.error);
    let record = client.home.record();
    assert_eq!(record.exit.unwrap().error, ending.error);
    std::os::unix::fs::symlink("busybox", &shell).unwrap();
    let condition = watch.until(|it| it.restarts >= 2 && is_running(it, it.restarts)).await;
    assert_eq!(client.home.record().pid, pid(&condition));
    finish(client).await;
}

#[tokio::test]
async fn a_restart_whose_start_fails_is_a_run_that_failed() {
    let mut flag = std::path::PathBuf::new();
    let script = &format!("{WAIT} exit 5");
    let (client, mut watch) = start_with("hook", script, &on_failure(3), |config| {
        flag = std::env::temp_dir().join(format!(
            "{}.refuse",
            config["linux"]["cgroupsPath"].as_str().unwrap().trim_start_matches('/')
        ));
        let test = format!("test ! -e {}", flag.display());
        config["hooks"] = json!({"poststart": [{"path": "/bin/sh", "args": ["sh", "-c", test]}]});
    })
    .await;
    std::fs::write(&flag, "").unwrap();
    go(&client);
    watch.waiting(1).await;
    let (ending, restarts) = watch.ended().await;
    std::fs::remove_file(&flag).unwrap();
    assert_eq!((ending.status, restarts), (128, 3));
    assert!(ending.error.starts_with("OCI runtime start failed: "), "{}", ending.error);
    assert_eq!(client.home.record().exit.unwrap().error, ending.error);
    finish(client).await;
}

#[tokio::test]
async fn each_run_has_its_own_strikes_of_the_out_of_memory_killer() {
    let script = "test $n -gt 1 || dd if=/dev/zero of=/dev/null bs=200M count=1; test $n = 3";
    let (client, mut watch) = start_with("oom", script, &on_failure(0), |config| {
        config["linux"]["resources"]["memory"] = json!({"limit": 20 << 20, "swap": 20 << 20});
    })
    .await;
    assert!(watch.waiting(1).await.ending.unwrap().oom_killed);
    assert!(!watch.waiting(2).await.ending.unwrap().oom_killed);
    assert!(!watch.ended().await.0.oom_killed);
    finish(client).await;
}

#[tokio::test]
async fn limits_that_were_changed_stay() {
    let (mut client, mut watch) = start("limits", "sleep 1000", &always()).await;
    let limit = |pid: u32| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let line = limits.lines().find(|line| line.contains("memory") || line.starts_with("0::"));
        let path = line.unwrap().rsplit(':').next().unwrap().to_owned();
        ["memory/{}/memory.limit_in_bytes", "unified/{}/memory.max", "{}/memory.max"]
            .map(|place| format!("/sys/fs/cgroup/{}", place.replace("{}", &path)))
            .iter()
            .find_map(|file| std::fs::read_to_string(file).ok())
            .unwrap()
    };
    let pid = watch.running(0).await;
    let before = limit(pid);
    let resources = prost_types::Any {
        type_url: String::new(),
        value: json!({"memory": {"limit": 64 << 20, "swap": 64 << 20}}).to_string().into_bytes(),
    };
    let update = api::UpdateTaskRequest {
        id: client.id(),
        resources: Some(resources),
        annotations: Default::default(),
    };
    client.task.update(update).await.unwrap();
    let changed = limit(pid);
    assert_ne!(before, changed);
    client.kill("", 9).await.unwrap();
    assert_eq!(limit(watch.running(1).await), changed);
    finish(client).await;
}

#[tokio::test]
async fn without_a_pid_namespace_the_old_run_is_gone_before_the_next() {
    // Whatever the last run left would still be in its file.
    let script = "test -e /alive && kill -0 $(cat /alive) && touch /overlap; \
                  sleep 1000 & echo $! > /alive; test $n = 4";
    let (client, mut watch) = start_with("host-pid", script, &on_failure(0), |config| {
        config["linux"]["namespaces"] =
            json!([{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]);
        config["mounts"][0] = json!({"destination": "/proc", "type": "proc", "source": "proc"});
    })
    .await;
    assert_eq!(watch.ended().await.1, 3);
    assert!(!client.home.bundle().join("rootfs/overlap").exists());
    finish(client).await;
}

#[tokio::test]
async fn a_shim_that_dies_at_any_moment_leaves_a_record_that_is_true() {
    for delay in (0..400).step_by(50) {
        let (client, mut watch) = start("dies", "exit 7", &always()).await;
        watch.waiting(1).await;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        client.kill_shim();
        let record = client.home.record();
        match (&record.exit, &record.restart_at) {
            (Some(exit), Some(_)) => assert_eq!((exit.status, exit.error.as_str()), (7, "")),
            (None, None) => assert_eq!(record.last_exit.unwrap().status, 7),
            other => panic!("{other:?}"),
        }
        assert!(record.restarts >= 1);
        assert!(client.home.shim().arg("delete").output().unwrap().status.success());
        assert_eq!(left_in_the_end(&client.home).await, Vec::<String>::new(), "after {delay} ms");
    }
}

#[tokio::test]
async fn a_policy_costs_nothing_while_the_container_runs() {
    let (client, mut watch) = start("idle", "sleep 1000", &always()).await;
    watch.running(0).await;
    let wake_ups = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", client.shim_pid()));
        let switches = |line: &&str| line.starts_with("voluntary_ctxt_switches");
        status.unwrap().lines().find(switches).unwrap().to_owned()
    };
    // The calls so far are still being wound up.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = wake_ups();
        tokio::time::sleep(Duration::from_secs(2)).await;
        if before == wake_ups() {
            break;
        }
        assert!(Instant::now() < deadline, "it never falls silent");
    }
    finish(client).await;
}

#[tokio::test]
async fn two_hundred_restarts_leave_nothing() {
    let (mut client, mut watch) = start("many", "exit 1", &always()).await;
    let process = std::path::PathBuf::from(format!("/proc/{}", client.shim_pid()));
    let descriptors = || std::fs::read_dir(process.join("fd")).unwrap().count();
    let memory = || -> u64 {
        let status = std::fs::read_to_string(process.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let bundle = client.home.bundle();
    let files = || std::fs::read_dir(&bundle).unwrap().count();
    let mut early = (0, 0, 0);
    let mut restarts = 0;
    while restarts < 200 {
        restarts = watch.until(|it| it.restarts > restarts && is_waiting(it)).await.restarts;
        // The waits begin anew.
        client.set_policy(policy(When::Always, 0)).await.unwrap();
        if restarts == 20 {
            early = (descriptors(), memory(), files());
        }
    }
    stop(&mut client).await;
    // Those of a restart that was just being made are on their way out.
    let deadline = Instant::now() + PATIENCE;
    while descriptors() > early.0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(descriptors() <= early.0, "{} descriptors, then {}", early.0, descriptors());
    assert!(memory() < early.1 + 200, "{} kB, then {} kB", early.1, memory());
    // One that is being written may be beside those that stay.
    assert!(files() <= early.2 + 1, "{} files in the bundle, then {}", early.2, files());
    finish(client).await;
}
