//! One container's shim as a client of containerd's Task API sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use prost::Message;
use tare_proto::containerd::task::v3 as api;
use tare_proto::containerd::task::v3::task_client::TaskClient;
use tare_proto::containerd::types::Mount;
use tare_proto::tare::shim::v1::Options;
use tare_proto::tare::shim::v1::streams_client::StreamsClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};

use super::Target;
use super::{address::Address, process};
use crate::container::options::Output;
use crate::container::spec::document as spec;
use crate::error::{Error, Kind, Result};

/// How long a shim may take for what takes it no time.
const SOON: Duration = Duration::from_secs(10);
/// How long it may take for what the runtime does for it.
const LATER: Duration = Duration::from_secs(120);
/// Bytes of a stream that may be on their way; the default of 64 KiB slows fast output down.
const WINDOW: u32 = 1 << 20;

/// How the types of a request's `Any` fields are named.
const OPTIONS_TYPE: &str = "tare.shim.v1.Options";
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const RESOURCES_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

/// A connection to a shim. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Shim {
    id: Arc<str>,
    socket: PathBuf,
    channel: Channel,
    tasks: TaskClient<Channel>,
}

/// A container to make.
#[derive(Debug)]
pub(crate) struct CreateTask {
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: Vec<crate::snapshot::Mount>,
    pub(crate) terminal: bool,
    pub(crate) open_stdin: bool,
    pub(crate) options: Options,
}

/// A process to run beside a container's own.
#[derive(Debug)]
pub(crate) struct ExecTask<'a> {
    pub(crate) exec: &'a str,
    pub(crate) terminal: bool,
    pub(crate) stdin: bool,
    /// Whether anybody will read what it writes.
    pub(crate) output: bool,
    /// The OCI process as JSON.
    pub(crate) process: Vec<u8>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskExit {
    /// 128 + n for a process that signal n ended.
    pub(crate) status: u32,
    /// When the shim reaped it.
    pub(crate) at: Timestamp,
}

/// A stream that the shim holds for clients, and one that nobody will read.
const HELD: &str = "shim:";
const NOWHERE: &str = "";

fn stream(held: bool) -> String {
    if held { HELD.to_owned() } else { NOWHERE.to_owned() }
}

impl Shim {
    /// Connects to the shim of the container `id`.
    pub(crate) async fn connect(id: &str, address: &Address) -> Result<Self> {
        let socket = address.socket();
        let channel = dial(&socket).await?;
        let tasks = TaskClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
        Ok(Self { id: id.into(), socket, channel, tasks })
    }

    /// A way to the streams of its processes, on a connection of its own: what a client doesn't
    /// read fills its connection, and must not hold up what others ask of the shim.
    pub(super) async fn streams(&self) -> Result<StreamsClient<Channel>> {
        let channel = dial(&self.socket).await?;
        Ok(StreamsClient::new(channel).max_decoding_message_size(usize::MAX))
    }

    /// Whether `other` is a clone of this connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.id, &other.id)
    }

    /// What other services of the shim are reached by.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The container's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Makes the container, with its process waiting; gives the process's pid.
    pub(crate) async fn create(&self, task: CreateTask) -> Result<u32> {
        let rootfs = task.rootfs.into_iter().map(|mount| Mount {
            r#type: mount.kind,
            source: mount.source,
            target: String::new(),
            options: mount.options,
        });
        let request = api::CreateTaskRequest {
            id: self.id.to_string(),
            bundle: task.bundle.to_string_lossy().into_owned(),
            rootfs: rootfs.collect(),
            terminal: task.terminal,
            stdin: stream(task.open_stdin),
            stdout: HELD.to_owned(),
            // On a terminal, both come out of the same end.
            stderr: stream(!task.terminal),
            options: Some(prost_types::Any {
                type_url: OPTIONS_TYPE.to_owned(),
                value: task.options.encode_to_vec(),
            }),
            ..api::CreateTaskRequest::default()
        };
        let response = self.tasks.clone().create(within(LATER, request)).await;
        Ok(response.map_err(failed)?.into_inner().pid)
    }

    /// Lets a process go; gives its pid.
    pub(crate) async fn start(&self, target: Target<'_>) -> Result<u32> {
        let request = api::StartRequest { id: self.id.to_string(), exec_id: target.exec_id() };
        let response = self.tasks.clone().start(within(LATER, request)).await;
        Ok(response.map_err(failed)?.into_inner().pid)
    }

    /// Makes an exec instance ready to be started.
    pub(crate) async fn exec(&self, task: ExecTask<'_>) -> Result<()> {
        let request = api::ExecProcessRequest {
            id: self.id.to_string(),
            exec_id: task.exec.to_owned(),
            terminal: task.terminal,
            stdin: stream(task.stdin),
            stdout: stream(task.output || task.terminal),
            stderr: stream(task.output && !task.terminal),
            spec: Some(prost_types::Any { type_url: PROCESS_TYPE.to_owned(), value: task.process }),
        };
        self.tasks.clone().exec(within(LATER, request)).await.map_err(failed).map(drop)
    }

    /// Waits for a process's end, for as long as it takes.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the shim has gone.
    pub(crate) async fn wait(&self, target: Target<'_>) -> Result<TaskExit> {
        let request = api::WaitRequest { id: self.id.to_string(), exec_id: target.exec_id() };
        let response = self.tasks.clone().wait(request).await.map_err(failed)?.into_inner();
        Ok(TaskExit { status: response.exit_status, at: time(response.exited_at) })
    }

    /// Takes a process that has ended away.
    pub(crate) async fn delete(&self, target: Target<'_>) -> Result<TaskExit> {
        let request = api::DeleteRequest { id: self.id.to_string(), exec_id: target.exec_id() };
        let response = self.tasks.clone().delete(within(LATER, request)).await;
        let response = response.map_err(failed)?.into_inner();
        Ok(TaskExit { status: response.exit_status, at: time(response.exited_at) })
    }

    /// Sends a signal to a process; to all of the container's if `all`.
    pub(crate) async fn kill(&self, target: Target<'_>, signal: u32, all: bool) -> Result<()> {
        let exec_id = target.exec_id();
        let request = api::KillRequest { id: self.id.to_string(), exec_id, signal, all };
        self.tasks.clone().kill(within(SOON, request)).await.map_err(failed).map(drop)
    }

    /// Freezes the container's processes.
    pub(crate) async fn pause(&self) -> Result<()> {
        let request = api::PauseRequest { id: self.id.to_string() };
        self.tasks.clone().pause(within(LATER, request)).await.map_err(failed).map(drop)
    }

    /// Lets them go on.
    pub(crate) async fn resume(&self) -> Result<()> {
        let request = api::ResumeRequest { id: self.id.to_string() };
        self.tasks.clone().resume(within(LATER, request)).await.map_err(failed).map(drop)
    }

    /// Tells a process's terminal its size.
    pub(crate) async fn resize(&self, target: Target<'_>, height: u32, width: u32) -> Result<()> {
        let exec_id = target.exec_id();
        let request = api::ResizePtyRequest { id: self.id.to_string(), exec_id, width, height };
        self.tasks.clone().resize_pty(within(SOON, request)).await.map_err(failed).map(drop)
    }

    /// The pids of the container's processes.
    pub(crate) async fn pids(&self) -> Result<Vec<u32>> {
        let request = api::PidsRequest { id: self.id.to_string() };
        let response = self.tasks.clone().pids(within(LATER, request)).await.map_err(failed)?;
        Ok(response.into_inner().processes.into_iter().map(|process| process.pid).collect())
    }

    /// What the container's cgroup counts: containerd's `Metrics` of the version that the host has.
    pub(crate) async fn stats(&self) -> Result<prost_types::Any> {
        let request = api::StatsRequest { id: self.id.to_string() };
        let response = self.tasks.clone().stats(within(SOON, request)).await.map_err(failed)?;
        let missing = || Error::system("the shim tells nothing of what its container uses");
        response.into_inner().stats.ok_or_else(missing)
    }

    /// Sets the container's limits.
    pub(crate) async fn update(&self, resources: &spec::Resources) -> Result<()> {
        let value = serde_json::to_vec(resources)
            .map_err(|error| Error::system(format!("encode limits: {error}")))?;
        let resources = Some(prost_types::Any { type_url: RESOURCES_TYPE.to_owned(), value });
        let request =
            api::UpdateTaskRequest { id: self.id.to_string(), resources, ..Default::default() };
        self.tasks.clone().update(within(LATER, request)).await.map_err(failed).map(drop)
    }

    /// Kills what runs, takes it away, and ends the shim: what is left of a failed start.
    pub(crate) async fn end(&self) -> Result<()> {
        const KILL: u32 = 9;
        // There may be no process yet; then the shim has nothing to kill or to delete.
        if self.kill(Target::Init, KILL, true).await.is_ok() {
            let _ = tokio::time::timeout(SOON, self.wait(Target::Init)).await;
        }
        let _ = self.delete(Target::Init).await;
        self.shut_down().await
    }

    /// Whether it has ended in order: then its socket went as its last.
    pub(crate) fn has_left(&self) -> bool {
        !self.socket.exists()
    }

    /// Ends the shim, and waits until it has gone: the next one of this container listens at the
    /// same place. A shim that has gone already has nothing to say to it.
    pub(crate) async fn shut_down(&self) -> Result<()> {
        let connect = api::ConnectRequest { id: self.id.to_string() };
        let server = match self.tasks.clone().connect(within(SOON, connect)).await {
            Ok(response) => process::open(response.into_inner().shim_pid),
            Err(_) => None,
        };
        let request = api::ShutdownRequest { id: self.id.to_string(), now: true };
        let asked = self.tasks.clone().shutdown(within(SOON, request)).await.map_err(failed);
        if let Some(server) = server {
            process::wait(server, SOON).await?;
        }
        match asked {
            Err(error) if error.kind() != Kind::Unavailable => Err(error),
            _ => Ok(()),
        }
    }
}

/// Connects to the shim that listens at `socket`.
async fn dial(socket: &Path) -> Result<Channel> {
    // The connector knows the socket; this address is only what HTTP/2 wants to see.
    let endpoint = Endpoint::from_static("http://shim")
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW);
    let place = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let place = place.clone();
        async move { UnixStream::connect(place).await.map(TokioIo::new) }
    });
    tokio::time::timeout(SOON, endpoint.connect_with_connector(connector))
        .await
        .map_err(|_| unreachable(socket, "no answer"))?
        .map_err(|error| unreachable(socket, &error.to_string()))
}

pub(super) fn within<T>(limit: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

fn unreachable(socket: &Path, why: &str) -> Error {
    let socket = socket.display();
    Error::new(Kind::Unavailable, format!("connect to the shim at {socket}: {why}"))
}

/// The failure that a status tells of, in the words of the shim.
pub(super) fn failed(status: Status) -> Error {
    let kind = match status.code() {
        Code::NotFound => Kind::NotFound,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => Kind::Conflict,
        Code::InvalidArgument | Code::OutOfRange => Kind::Invalid,
        Code::Unimplemented => Kind::Unsupported,
        Code::ResourceExhausted => Kind::Exhausted,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Kind::Unavailable,
        _ => Kind::System,
    };
    Error::new(kind, status.message())
}

pub(super) fn time(time: Option<prost_types::Timestamp>) -> Timestamp {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
        .unwrap_or_else(Timestamp::now)
}

/// A piece of output as clients get it.
pub(super) fn output(
    message: tare_proto::tare::shim::v1::attach_response::Message,
) -> Option<Output> {
    use tare_proto::tare::shim::v1::attach_response::Message as Response;
    match message {
        Response::Stdout(bytes) => Some(Output::Stdout(bytes)),
        Response::Stderr(bytes) => Some(Output::Stderr(bytes)),
        Response::Dropped(bytes) => Some(Output::Missed(bytes)),
        Response::Attached(_) => None,
    }
}
