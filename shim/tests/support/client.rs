//! A client of the shim, as `tared` is one.

use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message;
use prost_types::Any;
use tare_proto::containerd::task::v3 as api;
use tare_proto::containerd::task::v3::task_client::TaskClient;
use tare_proto::containerd::types::Mount;
use tare_proto::tare::shim::v1 as tare;
use tare_proto::tare::shim::v1::attach_request::Message as FromClient;
use tare_proto::tare::shim::v1::attach_response::Message as ToClient;
use tare_proto::tare::shim::v1::streams_client::StreamsClient;
use tare_proto::tare::shim::v1::supervision_client::SupervisionClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::{Home, runtime};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `it_is`.
pub(crate) async fn until(what: &str, it_is: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !it_is() {
        assert!(Instant::now() < deadline, "not yet: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A shim, connected to.
pub(crate) struct Client {
    pub(crate) home: Home,
    pub(crate) task: TaskClient<Channel>,
    pub(crate) streams: StreamsClient<Channel>,
    pub(crate) supervision: SupervisionClient<Channel>,
    pub(crate) socket: std::path::PathBuf,
    shim_pid: i32,
}

/// What a test may want otherwise than usual.
#[derive(Default)]
pub(crate) struct CreateOptions {
    pub(crate) terminal: bool,
    pub(crate) stdin: bool,
    pub(crate) stdin_once: bool,
    pub(crate) rootfs: Vec<Mount>,
    pub(crate) log_options: Vec<(&'static str, &'static str)>,
    pub(crate) restart: Option<tare::RestartPolicy>,
    pub(crate) health: Option<tare::HealthCheck>,
}

impl Client {
    /// Starts a shim for `home` and connects to it.
    pub(crate) async fn start(home: Home) -> Self {
        let socket = home.start();
        Self::connect(home, &socket).await
    }

    /// Starts another shim in the place of one that is dead.
    pub(crate) async fn reconnect(mut self) -> Self {
        let home = std::mem::replace(&mut self.home, Home::new("none"));
        Self::start(home).await
    }

    pub(crate) async fn connect(home: Home, socket: &Path) -> Self {
        let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let mut task = TaskClient::new(channel.clone());
        let connected = task.connect(api::ConnectRequest { id: home.id.clone() }).await.unwrap();
        let shim_pid = i32::try_from(connected.into_inner().shim_pid).unwrap();
        let socket = socket.to_owned();
        let supervision = SupervisionClient::new(channel.clone());
        Client { home, task, streams: StreamsClient::new(channel), supervision, socket, shim_pid }
    }

    pub(crate) fn shim_pid(&self) -> i32 {
        self.shim_pid
    }

    pub(crate) fn id(&self) -> String {
        self.home.id.clone()
    }

    pub(crate) fn create_request(&self, options: &CreateOptions) -> api::CreateTaskRequest {
        let path = |name: &str| self.home.path(name).display().to_string();
        let own = tare::Options {
            runtime: runtime().display().to_string(),
            runtime_root: path("root"),
            systemd_cgroup: false,
            state_directory: path("state"),
            log: Some(tare::Log {
                driver: "json-file".into(),
                options: options
                    .log_options
                    .iter()
                    .map(|(key, value)| ((*key).into(), (*value).into()))
                    .collect(),
                path: path("container.log"),
                ..Default::default()
            }),
            stdin_once: options.stdin_once,
            restart: options.restart,
            health: options.health.clone(),
            ..tare::Options::default()
        };
        let stream = |wanted: bool| if wanted { "shim:".to_owned() } else { String::new() };
        api::CreateTaskRequest {
            id: self.id(),
            bundle: path("bundle"),
            rootfs: options.rootfs.clone(),
            terminal: options.terminal,
            stdin: stream(options.stdin),
            stdout: stream(true),
            stderr: stream(!options.terminal),
            options: Some(Any {
                type_url: "tare.shim.v1.Options".into(),
                value: own.encode_to_vec(),
            }),
            ..Default::default()
        }
    }

    pub(crate) async fn create(&mut self, options: &CreateOptions) -> Result<u32, Status> {
        let request = self.create_request(options);
        Ok(self.task.create(request).await?.into_inner().pid)
    }

    pub(crate) async fn start_process(&mut self, exec_id: &str) -> Result<u32, Status> {
        let request = api::StartRequest { id: self.id(), exec_id: exec_id.into() };
        Ok(self.task.start(request).await?.into_inner().pid)
    }

    pub(crate) async fn exec(
        &mut self,
        exec_id: &str,
        spec: serde_json::Value,
        options: &CreateOptions,
    ) -> Result<(), Status> {
        let stream = |wanted: bool| if wanted { "shim:".to_owned() } else { String::new() };
        let request = api::ExecProcessRequest {
            id: self.id(),
            exec_id: exec_id.into(),
            terminal: options.terminal,
            stdin: stream(options.stdin),
            stdout: stream(true),
            stderr: stream(!options.terminal),
            spec: Some(Any {
                type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".into(),
                value: spec.to_string().into_bytes(),
            }),
        };
        self.task.exec(request).await.map(drop)
    }

    pub(crate) async fn wait(&mut self, exec_id: &str) -> u32 {
        let request = api::WaitRequest { id: self.id(), exec_id: exec_id.into() };
        let wait = tokio::time::timeout(PATIENCE, self.task.wait(request)).await;
        wait.expect("it doesn't end").unwrap().into_inner().exit_status
    }

    pub(crate) async fn kill(&mut self, exec_id: &str, signal: u32) -> Result<(), Status> {
        let exec_id = exec_id.to_owned();
        let request = api::KillRequest { id: self.id(), exec_id, signal, all: false };
        self.task.kill(request).await.map(drop)
    }

    pub(crate) async fn state(&mut self, exec_id: &str) -> Result<api::StateResponse, Status> {
        let request = api::StateRequest { id: self.id(), exec_id: exec_id.into() };
        self.task.state(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn delete(&mut self, exec_id: &str) -> Result<api::DeleteResponse, Status> {
        let request = api::DeleteRequest { id: self.id(), exec_id: exec_id.into() };
        self.task.delete(request).await.map(tonic::Response::into_inner)
    }

    /// A connection of its own, as another manager's.
    pub(crate) async fn other_connection(&self) -> StreamsClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("unix:{}", self.socket.display())).unwrap();
        StreamsClient::new(endpoint.connect().await.unwrap())
    }

    /// Attaches to all streams; returns when the shim has said that it is so.
    pub(crate) async fn attach(&self, exec_id: &str) -> Attached {
        self.attach_over(self.streams.clone(), exec_id).await
    }

    /// The same, over another connection.
    pub(crate) async fn attach_over(
        &self,
        mut streams: StreamsClient<Channel>,
        exec_id: &str,
    ) -> Attached {
        let (requests, receiver) = mpsc::unbounded_channel();
        let open = tare::AttachOpen {
            id: self.id(),
            exec_id: exec_id.into(),
            stdin: true,
            stdout: true,
            stderr: true,
            lossless: true,
        };
        requests.send(message(FromClient::Open(open))).unwrap();
        let stream = UnboundedReceiverStream::new(receiver);
        let mut responses = streams.attach(stream).await.unwrap().into_inner();
        let first = responses.message().await.unwrap().unwrap();
        assert_eq!(first.message, Some(ToClient::Attached(true)));
        Attached { requests, responses, seen: Output::default() }
    }

    /// Ends the shim, and checks that it leaves nothing.
    pub(crate) async fn shutdown(mut self) {
        self.end().await;
    }

    /// The same, for who still has something to look at.
    pub(crate) async fn end(&mut self) {
        self.task.shutdown(api::ShutdownRequest { id: self.id(), now: false }).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while is_alive(self.shim_pid) || self.socket.exists() {
            assert!(Instant::now() < deadline, "the shim or its socket is still there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the shim as nothing should.
    pub(crate) fn kill_shim(&self) {
        let pid = rustix::process::Pid::from_raw(self.shim_pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        while is_alive(self.shim_pid) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Deletes the container and ends the shim.
    pub(crate) async fn finish(mut self) {
        self.delete("").await.unwrap();
        self.shutdown().await;
    }
}

/// What a test that failed has left is taken down.
impl Drop for Client {
    fn drop(&mut self) {
        if is_alive(self.shim_pid) {
            self.kill_shim();
            let _ = self.home.shim().arg("delete").output();
        }
    }
}

/// Whether there is such a process, and it is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// What a client has received.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) dropped: u64,
}

impl Output {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// An open attachment.
pub(crate) struct Attached {
    requests: mpsc::UnboundedSender<tare::AttachRequest>,
    responses: tonic::Streaming<tare::AttachResponse>,
    seen: Output,
}

impl Attached {
    pub(crate) fn send(&self, data: &[u8]) {
        self.requests.send(message(FromClient::Stdin(data.to_vec().into()))).unwrap();
    }

    pub(crate) fn close_stdin(&self) {
        self.requests.send(message(FromClient::StdinClosed(true))).unwrap();
    }

    pub(crate) fn leave(&self) {
        self.requests.send(message(FromClient::Left(true))).unwrap();
    }

    /// Reads until the shim ends the stream.
    pub(crate) async fn read_to_end(mut self) -> Output {
        while self.read_some().await {}
        self.seen
    }

    /// Reads until stdout holds `text`.
    pub(crate) async fn read_until(&mut self, text: &str) -> &Output {
        while !self.seen.text().contains(text) {
            assert!(self.read_some().await, "the stream ended: {:?}", self.seen.text());
        }
        &self.seen
    }

    async fn read_some(&mut self) -> bool {
        let response = tokio::time::timeout(PATIENCE, self.responses.message()).await;
        match response.expect("no output comes").unwrap().map(|response| response.message) {
            None => return false,
            Some(Some(ToClient::Stdout(data))) => self.seen.stdout.extend_from_slice(&data),
            Some(Some(ToClient::Stderr(data))) => self.seen.stderr.extend_from_slice(&data),
            Some(Some(ToClient::Dropped(count))) => self.seen.dropped += count,
            Some(Some(ToClient::Attached(_)) | None) => panic!("attached twice"),
        }
        true
    }
}

fn message(message: FromClient) -> tare::AttachRequest {
    tare::AttachRequest { message: Some(message) }
}
