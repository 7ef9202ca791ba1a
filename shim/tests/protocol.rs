//! How a shim is started, found, and cleaned up after.

// A test may stop at the first thing that is wrong, in its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;
use support::client::{Client, CreateOptions, is_alive};
use support::left::left_in_the_end;
use support::{Home, SHIM, bundle};
use tare_proto::containerd::task::v3 as api;
use tare_proto::containerd::task::v3::task_client::TaskClient;
use tare_proto::containerd::types::RuntimeInfo;
use tonic::transport::Channel;

#[tokio::test]
async fn the_server_has_left_its_caller() {
    let home = Home::new("detached");
    bundle::write(&home.bundle(), &home.id, "true");
    let (_reader, forgotten) = rustix::pipe::pipe().unwrap();
    let client = Client::start(home).await;
    drop(forgotten);
    let process = PathBuf::from(format!("/proc/{}", client.shim_pid()));
    let target = |fd: &str| std::fs::read_link(process.join("fd").join(fd)).unwrap();
    assert_eq!(target("0"), Path::new("/dev/null"));
    assert_eq!(target("1"), Path::new("/dev/null"));
    assert_eq!(target("2"), client.home.bundle().join("shim.log"));
    let stat = std::fs::read_to_string(process.join("stat")).unwrap();
    // Not even a pipe that its caller forgot to close.
    let open = std::fs::read_dir(process.join("fd")).unwrap();
    let pipes = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let pipes: Vec<_> = pipes.filter(|target| target.to_string_lossy().contains("pipe:")).collect();
    assert!(pipes.is_empty(), "{pipes:?}");
    let session: i32 =
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().parse().unwrap();
    assert_eq!(session, client.shim_pid());
    assert_eq!(std::fs::read_dir(process.join("task")).unwrap().count(), 1);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&client.socket), 0o600);
    assert_eq!(mode(client.socket.parent().unwrap()), 0o711);
    client.shutdown().await;
}

#[tokio::test]
async fn a_second_start_finds_the_first() {
    let home = Home::new("again");
    bundle::write(&home.bundle(), &home.id, "true");
    let client = Client::start(home).await;
    let pid = client.shim_pid();
    assert_eq!(client.home.start(), client.socket);
    client.kill_shim();
    // A dead server's socket is in nobody's way.
    let client = client.reconnect().await;
    assert_ne!(client.shim_pid(), pid);
    client.shutdown().await;
}

#[tokio::test]
async fn delete_cleans_up_after_a_shim_that_died() {
    let home = Home::new("cleanup");
    bundle::write(&home.bundle(), &home.id, "sleep 1000");
    let lower = home.path("lower");
    std::fs::rename(home.bundle().join("rootfs"), &lower).unwrap();
    let mut client = Client::start(home).await;
    let rootfs = vec![tare_proto::containerd::types::Mount {
        r#type: "bind".into(),
        source: lower.display().to_string(),
        target: String::new(),
        options: vec!["rbind".into()],
    }];
    let options = CreateOptions { rootfs, ..Default::default() };
    let pid = client.create(&options).await.unwrap();
    client.start_process("").await.unwrap();
    client.kill_shim();
    assert!(is_alive(i32::try_from(pid).unwrap()));
    let output = client.home.shim().arg("delete").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let response = api::DeleteResponse::decode(output.stdout.as_slice()).unwrap();
    assert_eq!((response.pid, response.exit_status), (pid, 137));
    assert!(!is_alive(i32::try_from(pid).unwrap()));
    assert!(!client.socket.exists());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&client.home.bundle().display().to_string()));
    // Nothing is left to do the second time.
    assert!(client.home.shim().arg("delete").output().unwrap().status.success());
}

#[tokio::test]
async fn a_shim_that_dies_at_any_moment_leaves_nothing() {
    for delay in (0..60).step_by(2) {
        let home = Home::new(&format!("dies{delay}"));
        bundle::write(&home.bundle(), &home.id, "sleep 1000");
        let lower = home.path("lower");
        std::fs::rename(home.bundle().join("rootfs"), &lower).unwrap();
        let client = Client::start(home).await;
        let rootfs = vec![tare_proto::containerd::types::Mount {
            r#type: "bind".into(),
            source: lower.display().to_string(),
            target: String::new(),
            options: vec!["rbind".into()],
        }];
        let create = client.create_request(&CreateOptions { rootfs, ..Default::default() });
        let life = tokio::spawn(whole_life(client.task.clone(), create));
        tokio::time::sleep(Duration::from_millis(delay)).await;
        client.kill_shim();
        let _ = life.await.unwrap();
        assert!(client.home.shim().arg("delete").output().unwrap().status.success());
        assert_eq!(left_in_the_end(&client.home).await, Vec::<String>::new(), "after {delay} ms");
        assert!(!client.socket.exists());
    }
}

async fn whole_life(
    mut task: TaskClient<Channel>,
    create: api::CreateTaskRequest,
) -> Result<(), tonic::Status> {
    let (id, exec_id) = (create.id.clone(), String::new());
    task.create(create).await?;
    task.start(api::StartRequest { id: id.clone(), exec_id: exec_id.clone() }).await?;
    let (signal, all) = (9, false);
    task.kill(api::KillRequest { id: id.clone(), exec_id: exec_id.clone(), signal, all }).await?;
    task.wait(api::WaitRequest { id: id.clone(), exec_id: exec_id.clone() }).await?;
    task.delete(api::DeleteRequest { id, exec_id }).await.map(drop)
}

#[tokio::test]
async fn delete_tells_the_end_that_is_on_record() {
    let home = Home::new("recorded");
    bundle::write(&home.bundle(), &home.id, "exit 8");
    let mut client = Client::start(home).await;
    client.create(&CreateOptions::default()).await.unwrap();
    client.start_process("").await.unwrap();
    client.wait("").await;
    client.kill_shim();
    let output = client.home.shim().arg("delete").output().unwrap();
    let response = api::DeleteResponse::decode(output.stdout.as_slice()).unwrap();
    assert_eq!(response.exit_status, 8);
    let exited_at = SystemTime::try_from(response.exited_at.unwrap()).unwrap();
    assert!(exited_at > UNIX_EPOCH + Duration::from_secs(1_000_000_000));
}

#[tokio::test]
async fn ports_are_held_until_the_container_is_deleted() {
    let home = Home::new("ports");
    bundle::write(&home.bundle(), &home.id, "ls -l /proc/self/fd");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    let mut shim = home.shim();
    shim.arg("start").env("LISTEN_FDS", "1");
    let output = with_descriptor_3(&shim, &port).output().unwrap();
    drop(port);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let socket = printed["address"].as_str().unwrap().to_owned();
    let mut client = Client::connect(home, Path::new(&socket)).await;
    client.create(&CreateOptions::default()).await.unwrap();
    let attached = client.attach("").await;
    client.start_process("").await.unwrap();
    let listed = attached.read_to_end().await.text();
    assert!(!listed.contains("socket:"), "{listed}");
    assert!(std::net::TcpListener::bind(address).is_err(), "the port is free");
    client.delete("").await.unwrap();
    std::net::TcpListener::bind(address).unwrap();
    client.shutdown().await;
}

/// The same command, through a shell that moves the listener to descriptor 3, whatever number it has.
fn with_descriptor_3(command: &Command, listener: &std::net::TcpListener) -> Command {
    let number = listener.as_raw_fd();
    rustix::io::fcntl_setfd(listener, rustix::io::FdFlags::empty()).unwrap();
    let mut shell = Command::new("bash");
    let moved = if number == 3 { String::new() } else { format!("3<&{number} {number}<&-") };
    shell.arg("-c").arg(format!("exec \"$0\" \"$@\" {moved}")).arg(command.get_program());
    shell.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap());
    }
    shell
}

#[tokio::test]
async fn containerd_is_answered_in_ttrpc() {
    let home = Home::new("ttrpc");
    bundle::write(&home.bundle(), &home.id, "true");
    let mut shim = home.shim();
    shim.arg("start").env("TTRPC_ADDRESS", "/run/containerd.sock.ttrpc");
    let old = String::from_utf8(shim.output().unwrap().stdout).unwrap();
    let socket = PathBuf::from(old.strip_prefix("unix://").unwrap());
    shim.env("MAX_SHIM_VERSION", "2");
    let printed: serde_json::Value =
        serde_json::from_slice(&shim.output().unwrap().stdout).unwrap();
    let expected = serde_json::json!({"version": 2, "address": old, "protocol": "ttrpc"});
    assert_eq!(printed, expected);

    let mut connection = UnixStream::connect(&socket).unwrap();
    // Request { service: ..., method: "Connect", payload: ConnectRequest {} }
    let mut request = vec![0x0a, 23];
    request.extend_from_slice(b"containerd.task.v2.Task");
    request.extend_from_slice(b"\x12\x07Connect");
    let mut message = vec![0, 0, 0, u8::try_from(request.len()).unwrap(), 0, 0, 0, 1, 1, 0];
    message.extend_from_slice(&request);
    connection.write_all(&message).unwrap();
    let mut header = [0; 10];
    connection.read_exact(&mut header).unwrap();
    assert_eq!(header[4..9], [0, 0, 0, 1, 2]);
    let mut response = vec![0; usize::from(header[3])];
    connection.read_exact(&mut response).unwrap();
    // Response { status: Status {}, payload: ConnectResponse }
    assert_eq!(response[..3], [0x0a, 0, 0x12]);
    let connected = api::ConnectResponse::decode(&response[4..]).unwrap();

    // gRPC is spoken on the same socket.
    let client = Client::connect(home, &socket).await;
    assert_eq!(client.shim_pid(), i32::try_from(connected.shim_pid).unwrap());
    client.shutdown().await;
}

#[test]
fn it_says_what_it_is() {
    let version = Command::new(SHIM).arg("-v").output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
    let info = Command::new(SHIM).arg("-info").stdin(Stdio::null()).output().unwrap();
    let info = RuntimeInfo::decode(info.stdout.as_slice()).unwrap();
    assert_eq!(info.name, "io.containerd.tare.v2");
    let unknown = Command::new(SHIM).arg("-colour").output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
}

#[tokio::test]
async fn containers_of_a_pod_have_one_shim() {
    let pod = Home::new("pod");
    let member = pod.beside("member");
    for home in [&pod, &member] {
        let mut config = bundle::write(&home.bundle(), &home.id, "sleep 1000");
        config["annotations"] = serde_json::json!({"io.kubernetes.cri.sandbox-id": pod.id});
        bundle::write_config(&home.bundle(), &config);
    }
    let mut pod = Client::start(pod).await;
    let mut member = Client::start(member).await;
    assert_eq!(pod.shim_pid(), member.shim_pid());
    for client in [&mut pod, &mut member] {
        client.create(&CreateOptions::default()).await.unwrap();
        client.start_process("").await.unwrap();
    }
    // Cleaning up after one harms none of the others.
    let deleted = member.home.shim().arg("delete").output().unwrap();
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    assert_eq!(member.state("").await.unwrap_err().code(), tonic::Code::NotFound);
    assert_eq!(pod.state("").await.unwrap().exit_status, 0);
    // Nor does an end that is asked for while somebody is left.
    let shutdown = api::ShutdownRequest { id: member.id(), now: false };
    member.task.shutdown(shutdown).await.unwrap();
    pod.kill("", 9).await.unwrap();
    assert_eq!(pod.wait("").await, 137);
    pod.finish().await;
}
