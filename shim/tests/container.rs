//! A container's life under the shim, from its start to its record.

// A test may stop at the first thing that is wrong, in its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use prost::Message;
use support::client::{Client, CreateOptions, is_alive};
use support::{Home, bundle};
use tare_proto::containerd::cgroups;
use tare_proto::containerd::task::v3 as api;
use tare_proto::containerd::v1::types::Status;
use tonic::Code;

async fn shim_with(name: &str, script: &str) -> Client {
    let home = Home::new(name);
    bundle::write(&home.bundle(), &home.id, script);
    Client::start(home).await
}

#[tokio::test]
async fn a_whole_life() {
    let mut client = shim_with("life", "echo out; echo err >&2; exit 3").await;
    let pid = client.create(&CreateOptions::default()).await.unwrap();
    assert_eq!(client.state("").await.unwrap().status, i32::from(Status::Created));
    assert_eq!(client.home.record().pid, pid);
    let attached = client.attach("").await;
    assert_eq!(client.start_process("").await.unwrap(), pid);
    let output = attached.read_to_end().await;
    assert_eq!((output.stdout, output.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
    // The stream ends only when the end is on record.
    let record = client.home.record();
    let exit = record.exit.unwrap();
    assert_eq!((exit.status, exit.oom_killed), (3, false));
    assert!(record.started_at.unwrap() < exit.exited_at);
    assert_eq!(client.wait("").await, 3);
    let log = client.home.log();
    assert!(log.contains(r#"{"log":"out\n","stream":"stdout","time":""#), "{log}");
    assert!(log.contains(r#"{"log":"err\n","stream":"stderr","time":""#), "{log}");
    let state = client.state("").await.unwrap();
    assert_eq!((state.status, state.exit_status), (Status::Stopped.into(), 3));
    let deleted = client.delete("").await.unwrap();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 3));
    assert_eq!(client.state("").await.unwrap_err().code(), Code::NotFound);
    assert!(!client.home.bundle().join("shim.json").exists());
    client.shutdown().await;
}

#[tokio::test]
async fn what_it_uses_is_told_while_it_runs() {
    let mut client = shim_with("stats", "sleep 1000").await;
    client.create(&CreateOptions::default()).await.unwrap();
    client.start_process("").await.unwrap();
    let request = api::StatsRequest { id: client.id() };
    let stats = client.task.stats(request.clone()).await.unwrap().into_inner().stats.unwrap();
    let (processes, memory) = match stats.type_url.as_str() {
        "io.containerd.cgroups.v1.Metrics" => {
            let metrics = cgroups::v1::Metrics::decode(&stats.value[..]).unwrap();
            (metrics.pids.unwrap().current, metrics.memory.unwrap().usage.unwrap().usage)
        }
        "io.containerd.cgroups.v2.Metrics" => {
            let metrics = cgroups::v2::Metrics::decode(&stats.value[..]).unwrap();
            (metrics.pids.unwrap().current, metrics.memory.unwrap().usage)
        }
        other => panic!("{other}"),
    };
    assert_eq!(processes, 1);
    assert!(memory > 0);
    client.kill("", 9).await.unwrap();
    client.wait("").await;
    assert_eq!(client.task.stats(request).await.unwrap_err().code(), Code::NotFound);
    client.finish().await;
}

#[tokio::test]
async fn ends_of_very_short_lives_are_not_lost() {
    let mut client = shim_with("short", "exit 5").await;
    client.create(&CreateOptions::default()).await.unwrap();
    client.start_process("").await.unwrap();
    assert_eq!(client.wait("").await, 5);
    client.finish().await;
}

#[tokio::test]
async fn a_signal_is_128_and_more() {
    let mut client = shim_with("signal", "sleep 1000").await;
    client.create(&CreateOptions::default()).await.unwrap();
    client.start_process("").await.unwrap();
    assert_eq!(client.delete("").await.unwrap_err().code(), Code::FailedPrecondition);
    client.kill("", 9).await.unwrap();
    assert_eq!(client.wait("").await, 137);
    let late = client.kill("", 15).await.unwrap_err();
    assert_eq!((late.code(), late.message()), (Code::NotFound, "process already finished"));
    client.finish().await;
}

#[tokio::test]
async fn a_created_container_can_be_deleted() {
    let mut client = shim_with("created", "true").await;
    let pid = client.create(&CreateOptions::default()).await.unwrap();
    assert_eq!(client.delete("").await.unwrap().exit_status, 137);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    client.shutdown().await;
}

#[tokio::test]
async fn a_failed_create_leaves_nothing() {
    let home = Home::new("failed");
    let mut config = bundle::write(&home.bundle(), &home.id, "true");
    config["process"]["args"] = serde_json::json!(["/no/such/program"]);
    bundle::write_config(&home.bundle(), &config);
    let before = std::fs::read_dir(home.bundle()).unwrap().count();
    let mut client = Client::start(home).await;
    let rootfs = vec![bind_mount(&client.home.bundle().join("rootfs"))];
    let refused = client.create(&CreateOptions { rootfs, ..Default::default() }).await.unwrap_err();
    assert!(refused.message().contains("no such file or directory"), "{}", refused.message());
    assert!(refused.message().starts_with("OCI runtime create failed: "), "{refused}");
    assert_eq!(client.state("").await.unwrap_err().code(), Code::NotFound);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&client.home.bundle().display().to_string()));
    // The server's own log, and the note of its pid, are all that has come.
    assert_eq!(std::fs::read_dir(client.home.bundle()).unwrap().count(), before + 2);
    // The id is free again.
    let again = client.create(&CreateOptions::default()).await.unwrap_err();
    assert_eq!(again.code(), Code::Unknown);
    client.shutdown().await;
}

#[tokio::test]
async fn an_id_is_taken_once() {
    let mut client = shim_with("twice", "true").await;
    client.create(&CreateOptions::default()).await.unwrap();
    let again = client.create(&CreateOptions::default()).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    client.finish().await;
}

#[tokio::test]
async fn a_create_that_fails_does_not_harm_the_container_of_a_shim_that_died() {
    let mut client = shim_with("survivor", "sleep 1000").await;
    let pid = client.create(&CreateOptions::default()).await.unwrap();
    client.start_process("").await.unwrap();
    client.kill_shim();
    let mut client = client.reconnect().await;
    client.create(&CreateOptions::default()).await.unwrap_err();
    assert!(is_alive(i32::try_from(pid).unwrap()));
    // What the first had noted for this is still there.
    assert!(client.home.shim().arg("delete").output().unwrap().status.success());
    assert!(!is_alive(i32::try_from(pid).unwrap()));
}

#[tokio::test]
async fn the_rootfs_is_mounted_and_unmounted() {
    let home = Home::new("rootfs");
    bundle::write(&home.bundle(), &home.id, "cat /mark");
    let lower = home.path("lower");
    std::fs::rename(home.bundle().join("rootfs"), &lower).unwrap();
    std::fs::write(lower.join("mark"), "here").unwrap();
    for part in ["upper", "work"] {
        std::fs::create_dir(home.path(part)).unwrap();
    }
    let path = |name: &str| home.path(name).display().to_string();
    let overlay = tare_proto::containerd::types::Mount {
        r#type: "overlay".into(),
        source: "overlay".into(),
        target: String::new(),
        options: vec![
            format!("lowerdir={}", path("lower")),
            format!("upperdir={}", path("upper")),
            format!("workdir={}", path("work")),
        ],
    };
    let mut client = Client::start(home).await;
    let options = CreateOptions { rootfs: vec![overlay], ..Default::default() };
    client.create(&options).await.unwrap();
    let attached = client.attach("").await;
    client.start_process("").await.unwrap();
    assert_eq!(attached.read_to_end().await.text(), "here");
    client.wait("").await;
    client.delete("").await.unwrap();
    let rootfs = client.home.bundle().join("rootfs");
    assert_eq!(std::fs::read_dir(rootfs).unwrap().count(), 0);
    client.shutdown().await;
}

#[tokio::test]
async fn pause_and_resume() {
    let mut client = shim_with("pause", "sleep 1000").await;
    let id = client.id();
    client.create(&CreateOptions::default()).await.unwrap();
    client.start_process("").await.unwrap();
    client.task.pause(api::PauseRequest { id: id.clone() }).await.unwrap();
    assert_eq!(client.state("").await.unwrap().status, i32::from(Status::Paused));
    let twice = client.task.pause(api::PauseRequest { id: id.clone() }).await.unwrap_err();
    assert_eq!(twice.code(), Code::FailedPrecondition);
    client.task.resume(api::ResumeRequest { id: id.clone() }).await.unwrap();
    assert_eq!(client.state("").await.unwrap().status, i32::from(Status::Running));
    let pids = client.task.pids(api::PidsRequest { id }).await.unwrap().into_inner();
    assert_eq!(pids.processes.len(), 1);
    client.kill("", 9).await.unwrap();
    client.wait("").await;
    client.finish().await;
}

#[tokio::test]
async fn without_a_pid_namespace_the_rest_ends_with_the_init() {
    let home = Home::new("host-pid");
    let script = "sleep 1000 & echo $!; exit 2";
    let mut config = bundle::write(&home.bundle(), &home.id, script);
    let namespaces = serde_json::json!([{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]);
    config["linux"]["namespaces"] = namespaces;
    bundle::write_config(&home.bundle(), &config);
    let mut client = Client::start(home).await;
    client.create(&CreateOptions::default()).await.unwrap();
    let attached = client.attach("").await;
    client.start_process("").await.unwrap();
    let pid: i32 = attached.read_to_end().await.text().trim().parse().unwrap();
    assert_eq!(client.wait("").await, 2);
    assert!(!is_alive(pid));
    client.finish().await;
}

#[tokio::test]
async fn the_out_of_memory_killer_is_on_record() {
    let home = Home::new("oom");
    let script = "dd if=/dev/zero of=/dev/null bs=200M count=1";
    let mut config = bundle::write(&home.bundle(), &home.id, script);
    config["linux"]["resources"]["memory"] =
        serde_json::json!({"limit": 20 << 20, "swap": 20 << 20});
    bundle::write_config(&home.bundle(), &config);
    let mut client = Client::start(home).await;
    client.create(&CreateOptions::default()).await.unwrap();
    client.start_process("").await.unwrap();
    assert_eq!(client.wait("").await, 137);
    assert!(client.home.record().exit.unwrap().oom_killed);
    client.finish().await;
}

fn bind_mount(path: &Path) -> tare_proto::containerd::types::Mount {
    tare_proto::containerd::types::Mount {
        r#type: "bind".into(),
        source: path.display().to_string(),
        target: String::new(),
        options: vec!["rbind".into(), "ro".into()],
    }
}

#[tokio::test]
async fn what_its_caller_ignores_the_container_does_not() {
    let home = Home::new("ignoring");
    bundle::write(&home.bundle(), &home.id, "grep SigIgn /proc/self/status; true");
    let socket = home.start_ignoring("HUP,INT,QUIT,USR1,TERM,RTMIN+1");
    let mut client = Client::connect(home, &socket).await;
    client.create(&CreateOptions::default()).await.unwrap();
    client.start_process("").await.unwrap();
    assert_eq!(client.wait("").await, 0);
    let log = client.home.log();
    let ignored = log.split("\\u0009").nth(1).and_then(|text| text.split('\\').next());
    let ignored = u64::from_str_radix(ignored.unwrap(), 16).unwrap();
    // Signal 32 is the C library's own; it leaves it ignored in what it spawns.
    assert_eq!(ignored & !(1 << 31), 0, "{ignored:x}");
    client.finish().await;
}
