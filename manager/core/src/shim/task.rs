//! One container's shim as a client of containerd's Task API sees it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use prost::Message;
use tare_proto::containerd::task::v3 as api;
use tare_proto::containerd::task::v3::task_server::SERVICE_NAME as TASK;
use tare_proto::containerd::types::Mount;
use tare_proto::tare::shim::v1::Options;
use tare_proto::tare::shim::v1::streams_client::StreamsClient;
use tare_proto::ttrpc::{Client, Replies};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};

use super::Target;
use super::{address::Address, process};
use crate::container::options::Output;
use crate::container::spec::document as spec;
use crate::error::{Error, Kind, Result};

/// How long a shim may take for what takes it no time.
const SOON: Duration = Duration::from_secs(10);
/// How long it may take for what the runtime does for it.
const LATER: Duration = Duration::from_secs(120);
/// How long to wait where too many want to connect at once.
const TURN: Duration = Duration::from_millis(5);
/// Bytes of a stream that may be on their way; the default of 64 KiB slows fast output down.
const WINDOW: u32 = 1 << 20;

/// How the types of a request's `Any` fields are named.
const OPTIONS_TYPE: &str = "tare.shim.v1.Options";
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const RESOURCES_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

/// The shim of a container. Each call has a connection of its own: what is kept open of a thousand
/// shims would be most of the manager's memory.
#[derive(Debug, Clone)]
pub(crate) struct Shim {
    id: Arc<str>,
    socket: Arc<Path>,
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
    /// The shim of the container `id`, which listens at `address`.
    pub(crate) fn at(id: &str, address: &Address) -> Self {
        Self { id: id.into(), socket: address.socket().into() }
    }

    /// A way to the streams of its processes, on a connection of its own: what a client doesn't
    /// read fills its connection, and must not hold up what others ask of the shim.
    pub(super) async fn streams(&self) -> Result<StreamsClient<Channel>> {
        let channel = dial(&self.socket).await?;
        Ok(StreamsClient::new(channel).max_decoding_message_size(usize::MAX))
    }

    /// Whether `other` is a clone of this.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.id, &other.id)
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
        let response: api::CreateTaskResponse = self.task("Create", LATER, &request).await?;
        Ok(response.pid)
    }

    /// Lets a process go; gives its pid.
    pub(crate) async fn start(&self, target: Target<'_>) -> Result<u32> {
        let request = api::StartRequest { id: self.id.to_string(), exec_id: target.exec_id() };
        let response: api::StartResponse = self.task("Start", LATER, &request).await?;
        Ok(response.pid)
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
        self.task("Exec", LATER, &request).await
    }

    /// Waits for a process's end, for as long as it takes.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the shim has gone.
    pub(crate) async fn wait(&self, target: Target<'_>) -> Result<TaskExit> {
        let request = api::WaitRequest { id: self.id.to_string(), exec_id: target.exec_id() };
        let replies = self.open(TASK, "Wait", &request).await?;
        let response: api::WaitResponse = replies.only().await.map_err(failed)?;
        Ok(TaskExit { status: response.exit_status, at: time(response.exited_at) })
    }

    /// Takes a process that has ended away.
    pub(crate) async fn delete(&self, target: Target<'_>) -> Result<TaskExit> {
        let request = api::DeleteRequest { id: self.id.to_string(), exec_id: target.exec_id() };
        let response: api::DeleteResponse = self.task("Delete", LATER, &request).await?;
        Ok(TaskExit { status: response.exit_status, at: time(response.exited_at) })
    }

    /// Sends a signal to a process; to all of the container's if `all`.
    pub(crate) async fn kill(&self, target: Target<'_>, signal: u32, all: bool) -> Result<()> {
        let exec_id = target.exec_id();
        let request = api::KillRequest { id: self.id.to_string(), exec_id, signal, all };
        self.task("Kill", SOON, &request).await
    }

    /// Freezes the container's processes.
    pub(crate) async fn pause(&self) -> Result<()> {
        let request = api::PauseRequest { id: self.id.to_string() };
        self.task("Pause", LATER, &request).await
    }

    /// Lets them go on.
    pub(crate) async fn resume(&self) -> Result<()> {
        let request = api::ResumeRequest { id: self.id.to_string() };
        self.task("Resume", LATER, &request).await
    }

    /// Tells a process's terminal its size.
    pub(crate) async fn resize(&self, target: Target<'_>, height: u32, width: u32) -> Result<()> {
        let exec_id = target.exec_id();
        let request = api::ResizePtyRequest { id: self.id.to_string(), exec_id, width, height };
        self.task("ResizePty", SOON, &request).await
    }

    /// The pids of the container's processes.
    pub(crate) async fn pids(&self) -> Result<Vec<u32>> {
        let request = api::PidsRequest { id: self.id.to_string() };
        let response: api::PidsResponse = self.task("Pids", LATER, &request).await?;
        Ok(response.processes.into_iter().map(|process| process.pid).collect())
    }

    /// What the container's cgroup counts: containerd's `Metrics` of the version that the host has.
    pub(crate) async fn stats(&self) -> Result<prost_types::Any> {
        let request = api::StatsRequest { id: self.id.to_string() };
        let response: api::StatsResponse = self.task("Stats", SOON, &request).await?;
        let missing = || Error::system("the shim tells nothing of what its container uses");
        response.stats.ok_or_else(missing)
    }

    /// Sets the container's limits.
    pub(crate) async fn update(&self, resources: &spec::Resources) -> Result<()> {
        let value = serde_json::to_vec(resources)
            .map_err(|error| Error::system(format!("encode limits: {error}")))?;
        let resources = Some(prost_types::Any { type_url: RESOURCES_TYPE.to_owned(), value });
        let request =
            api::UpdateTaskRequest { id: self.id.to_string(), resources, ..Default::default() };
        self.task("Update", LATER, &request).await
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
        let server = match self.task::<api::ConnectResponse>("Connect", SOON, &connect).await {
            Ok(response) => process::open(response.shim_pid),
            Err(_) => None,
        };
        let request = api::ShutdownRequest { id: self.id.to_string(), now: true };
        let asked: Result<()> = self.task("Shutdown", SOON, &request).await;
        if let Some(server) = server {
            process::wait(server, SOON).await?;
        }
        match asked {
            Err(error) if error.kind() != Kind::Unavailable => Err(error),
            _ => Ok(()),
        }
    }

    /// Calls a method of the Task API.
    async fn task<Reply: Message + Default>(
        &self,
        method: &str,
        limit: Duration,
        argument: &impl Message,
    ) -> Result<Reply> {
        self.call(TASK, method, limit, argument).await
    }

    /// Calls a method that has one answer, which must come within `limit`.
    ///
    /// # Errors
    /// The shim's own, and [`Kind::Unavailable`] if it doesn't answer.
    pub(super) async fn call<Reply: Message + Default>(
        &self,
        service: &str,
        method: &str,
        limit: Duration,
        argument: &impl Message,
    ) -> Result<Reply> {
        let answer = async {
            let replies = self.open(service, method, argument).await?;
            replies.only().await.map_err(failed)
        };
        let late = || self.unreachable(format_args!("{method} is not answered within {limit:?}"));
        tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(late()))
    }

    /// Calls a method, whose answers can be waited for.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if nobody listens.
    pub(super) async fn open<Reply: Message + Default>(
        &self,
        service: &str,
        method: &str,
        argument: &impl Message,
    ) -> Result<Replies<Reply>> {
        let connected = tokio::time::timeout(SOON, connect(&self.socket)).await;
        let client = connected
            .map_err(|_| self.unreachable("no answer"))?
            .map_err(|error| self.unreachable(error))?;
        client.open(service, method, argument).await.map_err(failed)
    }

    fn unreachable(&self, why: impl std::fmt::Display) -> Error {
        unreachable(&self.socket, why)
    }
}

/// Connects to the shim that listens at `socket`, in turn where many want to.
async fn connect(socket: &Path) -> io::Result<Client> {
    loop {
        match Client::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(TURN).await;
            }
            connected => return connected,
        }
    }
}

/// Connects to the shim that listens at `socket`, for streams.
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
        .map_err(|error| unreachable(socket, error))
}

fn unreachable(socket: &Path, why: impl std::fmt::Display) -> Error {
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
