//! Checkpoint, and Create of what it wrote: what the shim asks of the runtime, and what it makes of
//! the answers. The runtime here only plays what it would do with criu; that it does that in truth is
//! the runtime's own tests' to show.

// A test may stop at the first thing that is wrong, in its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use prost::Message;
use prost_types::Any;
use support::client::{Client, CreateOptions};
use support::{Home, bundle, runtime};
use tare_proto::containerd::runc::v1::{CheckpointOptions, Options};
use tare_proto::containerd::task::v3 as api;
use tare_proto::containerd::v1::types::Status;
use tonic::Code;

/// Notes how `checkpoint` and `restore` were called, beside itself, and fails where a file `refuse`
/// is. A checkpoint ends the container if it is to; a restored one is a new one.
const PLAYER: &str = r#"#!/bin/sh
here=$(dirname "$0")
all="$*"
while :; do
    case $1 in
    --root) root=$2; shift 2 ;;
    --log) log=$2; shift 2 ;;
    --log-format) shift 2 ;;
    *) break ;;
    esac
done
verb=$1
case $verb in
checkpoint | restore) ;;
*) exec TARE $all ;;
esac
echo "$@" >"$here/$verb"
if [ -e "$here/refuse" ]; then
    echo '{"level":"error","msg":"criu is not in the mood"}' >"$log"
    exit 1
fi
shift
leave=no
while [ $# -gt 1 ]; do
    case $1 in
    --leave-running) leave=yes ;;
    --bundle) bundle=$2 ;;
    --pid-file) pid_file=$2 ;;
    --work-path) touch "$2/dump.log" ;;
    esac
    shift
done
if [ $verb = restore ]; then
    TARE --root "$root" create --bundle "$bundle" --pid-file "$pid_file" "$1" &&
        TARE --root "$root" start "$1"
elif [ $leave = no ]; then
    TARE --root "$root" delete --force "$1"
fi
"#;

/// A shim whose runtime is the player.
struct Stage {
    client: Client,
}

impl Stage {
    async fn new(name: &str, script: &str) -> Self {
        let home = Home::new(name);
        bundle::write(&home.bundle(), &home.id, script);
        let player = home.path("player");
        let tare = runtime().display().to_string();
        std::fs::write(&player, PLAYER.replace("TARE", &tare)).unwrap();
        std::fs::set_permissions(&player, PermissionsExt::from_mode(0o755)).unwrap();
        Stage { client: Client::start(home).await }
    }

    fn path(&self, name: &str) -> String {
        self.client.home.path(name).display().to_string()
    }

    /// Has the next checkpoint or restore fail.
    fn refuse(&self) {
        std::fs::write(self.path("refuse"), "").unwrap();
    }

    /// How the player was called, without what is the same in all calls.
    fn called(&self, verb: &str) -> String {
        let called = std::fs::read_to_string(self.path(verb)).unwrap();
        let id = format!(" {}", self.client.home.id);
        called.trim().trim_end_matches(&id).replace(&self.path(""), "~/")
    }

    fn request(&self, options: &Options) -> api::CreateTaskRequest {
        let options = Options {
            binary_name: self.path("player"),
            root: self.path("root"),
            ..options.clone()
        };
        let value = options.encode_to_vec();
        api::CreateTaskRequest {
            options: Some(Any { type_url: "containerd.runc.v1.Options".into(), value }),
            ..self.client.create_request(&CreateOptions::default())
        }
    }

    async fn create(&mut self) {
        let request = self.request(&Options::default());
        self.client.task.create(request).await.unwrap();
    }

    async fn create_from(&mut self, checkpoint: &str) -> Result<u32, tonic::Status> {
        let checkpoint = checkpoint.to_owned();
        let request = api::CreateTaskRequest { checkpoint, ..self.request(&Options::default()) };
        Ok(self.client.task.create(request).await?.into_inner().pid)
    }

    async fn checkpoint(
        &mut self,
        path: &str,
        options: &CheckpointOptions,
    ) -> Result<(), tonic::Status> {
        let value = options.encode_to_vec();
        let options = Any { type_url: "containerd.runc.v1.CheckpointOptions".into(), value };
        let (id, path, options) = (self.client.id(), path.to_owned(), Some(options));
        let request = api::CheckpointTaskRequest { id, path, options };
        self.client.task.checkpoint(request).await.map(drop)
    }

    async fn status(&mut self) -> Status {
        Status::try_from(self.client.state("").await.unwrap().status).unwrap()
    }
}

#[tokio::test]
async fn every_option_of_a_checkpoint_is_passed_on() {
    let mut stage = Stage::new("checkpoint", "sleep 1000").await;
    stage.create().await;
    let images = stage.path("images");
    let early = stage.checkpoint(&images, &CheckpointOptions::default()).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);
    stage.client.start_process("").await.unwrap();

    stage.checkpoint(&images, &CheckpointOptions::default()).await.unwrap();
    let least = "checkpoint --image-path ~/images --work-path ~/bundle/criu-work --leave-running";
    assert_eq!(stage.called("checkpoint"), least);
    assert!(!PathBuf::from(stage.path("bundle/criu-work")).exists());
    let all = CheckpointOptions {
        exit: true,
        open_tcp: true,
        external_unix_sockets: true,
        terminal: true,
        file_locks: true,
        empty_namespaces: vec!["network".into()],
        cgroups_mode: "soft".into(),
        image_path: String::new(),
        work_path: stage.path("work"),
        parent_path: "../before".into(),
    };
    stage.checkpoint(&images, &all).await.unwrap();
    let most = "checkpoint --image-path ~/images --work-path ~/work --tcp-established \
                --ext-unix-sk --shell-job --file-locks --empty-ns network \
                --manage-cgroups-mode soft --parent-path ../before";
    assert_eq!(stage.called("checkpoint"), most);
    assert!(PathBuf::from(stage.path("work/dump.log")).exists());
    // It was to end with that.
    assert_eq!(stage.client.wait("").await, 137);
    let late = stage.checkpoint(&images, &all).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition);
    stage.client.finish().await;
}

#[tokio::test]
async fn a_container_survives_a_checkpoint_that_fails() {
    let mut stage = Stage::new("undumped", "sleep 1000").await;
    stage.create().await;
    stage.client.start_process("").await.unwrap();
    let default = CheckpointOptions::default();
    for path in ["", "relative"] {
        let refused = stage.checkpoint(path, &default).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{path:?}");
    }
    let elsewhere = CheckpointOptions { image_path: "/elsewhere".into(), ..default.clone() };
    let refused = stage.checkpoint("/images", &elsewhere).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    stage.refuse();
    let failed = stage.checkpoint(&stage.path("images"), &default).await.unwrap_err();
    assert!(failed.message().contains("criu is not in the mood"), "{failed:?}");
    // What criu has written down about it is still there.
    assert!(PathBuf::from(stage.path("bundle/criu-work")).exists());
    assert_eq!(stage.status().await, Status::Running);
    stage.client.kill("", 9).await.unwrap();
    stage.client.wait("").await;
    stage.client.finish().await;
}

#[tokio::test]
async fn a_container_is_restored_when_it_is_started() {
    let mut stage = Stage::new("restored", "echo here; exit 3").await;
    let images = stage.path("images");
    assert_eq!(stage.create_from(&images).await.unwrap(), 0);
    assert_eq!(stage.status().await, Status::Created);
    for refused in [
        stage.client.kill("", 9).await,
        stage.checkpoint(&images, &CheckpointOptions::default()).await,
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    }
    let attached = stage.client.attach("").await;
    let pid = stage.client.start_process("").await.unwrap();
    assert_eq!(
        stage.called("restore"),
        "restore --image-path ~/images --work-path ~/bundle/criu-work --bundle ~/bundle --detach \
         --tcp-established --ext-unix-sk --file-locks --pid-file ~/bundle/init.pid"
    );
    assert_eq!(attached.read_to_end().await.text(), "here\n");
    assert_eq!(stage.client.wait("").await, 3);
    let deleted = stage.client.delete("").await.unwrap();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 3));
    stage.client.shutdown().await;
}

#[tokio::test]
async fn a_container_that_is_not_restored_leaves_nothing() {
    let mut stage = Stage::new("unrestored", "true").await;
    let images = stage.path("images");
    stage.create_from(&images).await.unwrap();
    assert_eq!(stage.client.delete("").await.unwrap().pid, 0);

    stage.create_from(&images).await.unwrap();
    stage.refuse();
    let failed = stage.client.start_process("").await.unwrap_err();
    assert!(failed.message().contains("criu is not in the mood"), "{failed:?}");
    // Nobody waits for ever.
    assert_eq!(stage.client.wait("").await, 128);
    assert_eq!(stage.client.delete("").await.unwrap().pid, 0);

    for (checkpoint, parent, code) in [
        ("relative", "", Code::InvalidArgument),
        ("", "/before", Code::InvalidArgument),
        (images.as_str(), "/before", Code::Unknown),
    ] {
        let request = api::CreateTaskRequest {
            checkpoint: checkpoint.into(),
            parent_checkpoint: parent.into(),
            ..stage.request(&Options::default())
        };
        let refused = stage.client.task.create(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{checkpoint:?} {parent:?}");
    }
    stage.client.shutdown().await;
}

#[tokio::test]
async fn the_shim_joins_the_cgroup_that_it_is_told_to() {
    let mut stage = Stage::new("cgroup", "true").await;
    let name = format!("{}-shim", stage.client.home.id);
    let told = Options { shim_cgroup: format!("/{name}"), ..Options::default() };
    let refused = stage.client.task.create(stage.request(&told)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("shim_cgroup"), "{refused:?}");

    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let mut hierarchies: Vec<_> = hierarchies.map(|entry| entry.path()).collect();
    hierarchies.push("/sys/fs/cgroup".into());
    let hierarchies = hierarchies.into_iter().filter(|path| path.join("cgroup.procs").exists());
    // One is enough, and one whose cgroups take processes as they are is wanted.
    let cgroup = hierarchies.map(|path| path.join(&name)).find(|cgroup| {
        !cgroup.display().to_string().contains("cpuset") && std::fs::create_dir(cgroup).is_ok()
    });
    let cgroup = cgroup.unwrap();
    stage.client.task.create(stage.request(&told)).await.unwrap();
    let processes = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
    let shim = stage.client.shim_pid().to_string();
    assert!(processes.lines().any(|line| line == shim), "{processes:?}");
    stage.client.delete("").await.unwrap();
    stage.client.shutdown().await;
    let removed = || std::fs::remove_dir(&cgroup).is_ok();
    let deadline = std::time::Instant::now() + support::client::PATIENCE;
    while !removed() && std::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(!cgroup.exists());
}
