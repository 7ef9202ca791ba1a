//! Whether a container is well, as the shim finds out.

// A test may stop at the first thing that is wrong, in its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant, SystemTime};

use support::client::{Client, CreateOptions};
use support::left::left_in_the_end;
use support::supervision::{is_running, is_waiting, policy, started_at};
use support::{Home, bundle};
use tare_proto::containerd::task::v3 as api;
use tare_proto::record::HealthStatus;
use tare_proto::tare::shim::v1::health::Status;
use tare_proto::tare::shim::v1::restart_policy::When;
use tare_proto::tare::shim::v1::{self as tare};
use tonic::Code;

/// A check that runs `script` ten times a second; one failure is too many.
fn check(script: &str) -> tare::HealthCheck {
    let milliseconds = |count: u64| count * 1_000_000;
    tare::HealthCheck {
        process: bundle::process(&["sh", "-c", script]).to_string().into(),
        interval_ns: milliseconds(100),
        timeout_ns: milliseconds(20_000),
        start_period_ns: 0,
        start_interval_ns: milliseconds(50),
        retries: 1,
    }
}

async fn start(name: &str, check: tare::HealthCheck) -> Client {
    start_with(name, "sleep 1000", CreateOptions { health: Some(check), ..Default::default() })
        .await
}

async fn start_with(name: &str, script: &str, options: CreateOptions) -> Client {
    let home = Home::new(&format!("health-{name}"));
    bundle::write(&home.bundle(), &home.id, script);
    let mut client = Client::start(home).await;
    client.create(&options).await.unwrap();
    client.start_process("").await.unwrap();
    client
}

async fn finish(mut client: Client) {
    client.set_policy(policy(When::Never, 0)).await.unwrap();
    // It may have ended.
    let _ = client.kill("", 9).await;
    client.watch().await.ended().await;
    client.delete("").await.unwrap();
    client.end().await;
    assert_eq!(left_in_the_end(&client.home).await, Vec::<String>::new());
}

fn is(condition: &tare::Condition, status: Status) -> bool {
    condition.health.as_ref().is_some_and(|health| health.status == i32::from(status))
}

/// What is known once the container is like this after at least so many probes.
async fn health_when(client: &Client, status: Status, probes: usize) -> tare::Health {
    let is_it = |it: &tare::Condition| {
        is(it, status) && it.health.as_ref().is_some_and(|it| it.probes.len() >= probes)
    };
    client.watch().await.until(is_it).await.health.unwrap()
}

fn time(timestamp: Option<prost_types::Timestamp>) -> SystemTime {
    SystemTime::try_from(timestamp.unwrap()).unwrap()
}

#[tokio::test]
async fn a_probe_that_succeeds_makes_it_healthy() {
    let home = Home::new("health-well");
    bundle::write(&home.bundle(), &home.id, "sleep 1000");
    let mut client = Client::start(home).await;
    let health = Some(check("echo fine; echo and well >&2"));
    client.create(&CreateOptions { health, ..Default::default() }).await.unwrap();
    let mut watch = client.watch().await;
    assert_eq!(watch.next().await.unwrap().health, None);
    client.start_process("").await.unwrap();
    let begun = watch.until(|it| is_running(it, 0)).await;
    assert!(is(&begun, Status::Starting), "{begun:?}");
    let health = health_when(&client, Status::Healthy, 1).await;
    let probe = &health.probes[0];
    assert_eq!((probe.exit_code, probe.output.as_str()), (0, "fine\nand well\n"));
    let interval = time(probe.started_at).duration_since(started_at(&begun)).unwrap();
    assert!(interval >= Duration::from_millis(100), "{interval:?}");
    assert!(time(probe.ended_at) >= time(probe.started_at));
    assert_eq!(client.home.record().health.unwrap().status, HealthStatus::Healthy);
    // The last five are told.
    let many = health_when(&client, Status::Healthy, 5).await;
    watch.until(|it| it.health.as_ref().is_some_and(|it| it.probes[0] != many.probes[0])).await;
    assert_eq!(health_when(&client, Status::Healthy, 5).await.probes.len(), 5);
    // They are nobody's execs.
    let pids = client.task.pids(api::PidsRequest { id: client.id() }).await.unwrap().into_inner();
    assert!(pids.processes.iter().all(|process| process.info.is_none()));
    finish(client).await;
}

#[tokio::test]
async fn so_many_failures_make_it_unhealthy_and_a_success_makes_it_well() {
    let script = "test -e /well && exit 0; echo ill; exit 3";
    let client = start("ill", tare::HealthCheck { retries: 2, ..check(script) }).await;
    let mut watch = client.watch().await;
    let first = watch.until(|it| it.health.as_ref().is_some_and(|it| !it.probes.is_empty())).await;
    let first = first.health.unwrap();
    if first.probes.len() == 1 {
        assert_eq!((first.status(), first.failing_streak), (Status::Starting, 1));
    }
    let ill = watch.until(|it| is(it, Status::Unhealthy)).await.health.unwrap();
    assert_eq!((ill.failing_streak, ill.probes[0].exit_code), (2, 3));
    assert_eq!(ill.probes[0].output, "ill\n");
    assert_eq!(client.home.record().health.unwrap().status, HealthStatus::Unhealthy);
    std::fs::write(client.home.bundle().join("rootfs/well"), "").unwrap();
    let well = watch.until(|it| is(it, Status::Healthy)).await.health.unwrap();
    assert_eq!(well.failing_streak, 0);
    finish(client).await;
}

#[tokio::test]
async fn in_the_start_period_probes_are_closer_together_and_failures_do_not_count() {
    let slow = tare::HealthCheck {
        interval_ns: 3_600_000_000_000,
        start_period_ns: 3_600_000_000_000,
        ..check("test -e /well")
    };
    let client = start("period", slow).await;
    let starting = health_when(&client, Status::Starting, 3).await;
    assert_eq!(starting.failing_streak, 0);
    std::fs::write(client.home.bundle().join("rootfs/well"), "").unwrap();
    let well = health_when(&client, Status::Healthy, 1).await;
    // From now on there is one each hour.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(health_when(&client, Status::Healthy, 1).await, well);
    finish(client).await;
}

#[tokio::test]
async fn a_probe_that_takes_too_long_is_killed_with_what_it_waits_for() {
    let limit = tare::HealthCheck { timeout_ns: 500_000_000, ..check("echo half; sleep 1000; :") };
    let mut client = start("slow", limit).await;
    let ill = health_when(&client, Status::Unhealthy, 3).await;
    let probe = &ill.probes[0];
    assert_eq!(probe.exit_code, -1);
    assert_eq!(probe.output, "Health check exceeded timeout (500ms): half\n");
    // The container's own, and those of one probe at most.
    let request = api::PidsRequest { id: client.id() };
    let pids = client.task.pids(request).await.unwrap().into_inner();
    assert!(pids.processes.len() <= 3, "{pids:?}");
    finish(client).await;
}

#[tokio::test]
async fn a_probe_that_can_not_be_run_says_why() {
    let process = bundle::process(&["/no/such/probe"]).to_string().into();
    let client = start("missing", tare::HealthCheck { process, ..check("") }).await;
    let ill = health_when(&client, Status::Unhealthy, 1).await;
    let probe = &ill.probes[0];
    assert_eq!(probe.exit_code, -1);
    assert!(probe.output.starts_with("OCI runtime exec failed: "), "{}", probe.output);
    assert!(probe.output.contains("/no/such/probe"), "{}", probe.output);
    finish(client).await;
}

#[tokio::test]
async fn nobody_watches_while_it_is_paused() {
    let mut client = start("paused", check("true")).await;
    health_when(&client, Status::Healthy, 1).await;
    client.task.pause(api::PauseRequest { id: client.id() }).await.unwrap();
    let paused = health_when(&client, Status::Unhealthy, 1).await;
    assert_eq!(paused.failing_streak, 0);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(health_when(&client, Status::Unhealthy, 1).await, paused);
    client.task.resume(api::ResumeRequest { id: client.id() }).await.unwrap();
    health_when(&client, Status::Healthy, 1).await;
    finish(client).await;
}

#[tokio::test]
async fn a_pause_does_not_wait_for_a_probe() {
    let mut client = start("pause-slow", check("sleep 1000; :")).await;
    let request = api::PidsRequest { id: client.id() };
    while client.task.pids(request.clone()).await.unwrap().into_inner().processes.len() < 2 {}
    let begun = Instant::now();
    client.task.pause(api::PauseRequest { id: client.id() }).await.unwrap();
    client.task.resume(api::ResumeRequest { id: client.id() }).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", begun.elapsed());
    // That probe doesn't count.
    assert!(health_when(&client, Status::Unhealthy, 0).await.probes.is_empty());
    finish(client).await;
}

#[tokio::test]
async fn each_run_begins_anew_and_its_end_is_not_well() {
    let options = CreateOptions {
        health: Some(check("true")),
        restart: Some(policy(When::Always, 0)),
        ..Default::default()
    };
    let mut client = start_with("again", "sleep 1000", options).await;
    let before = health_when(&client, Status::Healthy, 1).await;
    let mut watch = client.watch().await;
    client.kill("", 9).await.unwrap();
    let waiting = watch.until(is_waiting).await;
    assert!(is(&waiting, Status::Unhealthy), "{waiting:?}");
    let record = client.home.record();
    assert_eq!(record.health.unwrap().status, HealthStatus::Unhealthy);
    let running = watch.until(|it| is_running(it, 1)).await;
    assert!(is(&running, Status::Starting), "{running:?}");
    assert!(running.health.unwrap().probes.len() >= before.probes.len().min(5));
    watch.until(|it| is(it, Status::Healthy)).await;
    finish(client).await;
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_probe() {
    let mut client = start("end", check("sleep 1000; :")).await;
    let request = api::PidsRequest { id: client.id() };
    while client.task.pids(request.clone()).await.unwrap().into_inner().processes.len() < 2 {}
    client.kill("", 9).await.unwrap();
    let begun = Instant::now();
    client.watch().await.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", begun.elapsed());
    // The kernel kills the probe before the init has quite ended.
    let health = health_when(&client, Status::Unhealthy, 0).await;
    assert!(health.probes.iter().all(|probe| probe.exit_code == 137), "{health:?}");
    finish(client).await;
}

#[tokio::test]
async fn what_a_probe_leaves_behind_holds_nothing_up() {
    let client = start("daemon", check("sleep 1000 & echo left one")).await;
    let descriptors = || {
        let directory = format!("/proc/{}/fd", client.shim_pid());
        std::fs::read_dir(directory).unwrap().count()
    };
    let first = health_when(&client, Status::Healthy, 1).await.probes[0].clone();
    assert_eq!(first.output, "left one\n");
    let early = descriptors();
    let mut watch = client.watch().await;
    // Probes are told by their times.
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 25 {
        let health = watch.next().await.unwrap().health.unwrap();
        seen.extend(health.probes.iter().map(|probe| time(probe.started_at)));
        assert!(health.probes.iter().all(|probe| probe.output == "left one\n"), "{health:?}");
    }
    // The watch's own, and one probe's that is under way.
    assert!(descriptors() <= early + 8, "{early} descriptors, then {}", descriptors());
    finish(client).await;
}

#[tokio::test]
async fn a_probe_that_writes_without_end_is_cut_off() {
    let limit = tare::HealthCheck { timeout_ns: 1_000_000_000, ..check("yes") };
    let client = start("flood", limit).await;
    let ill = health_when(&client, Status::Unhealthy, 1).await;
    let words = "Health check exceeded timeout (1s): ";
    let output = ill.probes[0].output.strip_prefix(words).unwrap();
    assert_eq!((output.len(), output.ends_with("y\n...")), (4099, true));
    let status = std::fs::read_to_string(format!("/proc/{}/status", client.shim_pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 << 10, "{peak} kB");
    finish(client).await;
}

#[tokio::test]
async fn a_check_that_makes_no_sense_is_refused() {
    let home = Home::new("health-nonsense");
    bundle::write(&home.bundle(), &home.id, "sleep 1000");
    let mut client = Client::start(home).await;
    let health = Some(tare::HealthCheck { interval_ns: 0, ..check("true") });
    let refused = client.create(&CreateOptions { health, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("interval"), "{}", refused.message());
    client.shutdown().await;
}
