//! The Streams service: clients that attach to a process's standard streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tare_proto::tare::shim::v1 as api;
use tare_proto::tare::shim::v1::attach_request::Message as FromClient;
use tare_proto::tare::shim::v1::attach_response::Message as ToClient;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::Connection;
use crate::error::{Error, Result};
use crate::io::hub::{Attachment, Channel, Delivery, Output, Wants};
use crate::task::{Exec, Process, Run, Tasks};

/// The time after which a connection is known to have ended with the streams on it.
const CONNECTION_PATIENCE: Duration = Duration::from_millis(100);

/// The service over this shim's tasks.
#[derive(Clone)]
pub(crate) struct StreamsService {
    tasks: Arc<Tasks>,
}

impl StreamsService {
    /// Serves `tasks`.
    pub(crate) fn new(tasks: Arc<Tasks>) -> Self {
        StreamsService { tasks }
    }

    fn find(&self, open: &api::AttachOpen) -> Result<Target> {
        let task = self.tasks.get(&open.id)?;
        if task.is_waiting() {
            let words = format!("container {} is restarting, wait until it runs", open.id);
            return Err(Error::precondition(words));
        }
        let run = task.run();
        if open.exec_id.is_empty() {
            return Ok(Target::Init(run));
        }
        Ok(Target::Exec(run.exec(&open.exec_id)?))
    }
}

/// The process that a client is attached to.
enum Target {
    Init(Arc<Run>),
    Exec(Arc<Exec>),
}

impl Target {
    fn process(&self) -> &Process {
        match self {
            Target::Init(run) => &run.init,
            Target::Exec(exec) => &exec.process,
        }
    }
}

#[tonic::async_trait]
impl api::streams_server::Streams for StreamsService {
    type AttachStream = ClientStream;

    async fn attach(
        &self,
        request: Request<Streaming<api::AttachRequest>>,
    ) -> std::result::Result<Response<ClientStream>, Status> {
        let connection = request.extensions().get::<Connection>().cloned().unwrap_or_default();
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|request| request.message);
        let Some(FromClient::Open(open)) = first else {
            return Err(Error::invalid("Attach: the first message must be open").into());
        };
        let target = self.find(&open)?;
        let delivery = if open.lossless { Delivery::Lossless } else { Delivery::Lossy };
        let wants = Wants { stdout: open.stdout, stderr: open.stderr, delivery };
        let output = target.process().io.attach(wants);
        let guest = StdinGuest { target: Some(target).filter(|_| open.stdin), connection };
        let input = InputGuard(Some(tokio::spawn(copy_input(requests, guest))));
        Ok(Response::new(ClientStream { greeted: false, output, input }))
    }

    async fn reopen_log(
        &self,
        request: Request<api::ReopenLogRequest>,
    ) -> std::result::Result<Response<api::ReopenLogResponse>, Status> {
        self.tasks.get(&request.into_inner().id)?.run().init.io.reopen_log()?;
        Ok(Response::new(api::ReopenLogResponse {}))
    }
}

/// What the end of a client's input ends.
#[derive(PartialEq, Eq)]
enum InputEnd {
    /// Only the input: the client still listens.
    Input,
    /// The client: it has said that it leaves.
    Client,
}

/// Moves a client's input to the process until the client has no more, or leaves.
async fn copy_input(
    mut requests: Streaming<api::AttachRequest>,
    mut guest: StdinGuest,
) -> InputEnd {
    while let Ok(request) = requests.message().await {
        match request.map(|request| request.message) {
            Some(Some(FromClient::Stdin(data))) => guest.write(&data).await,
            Some(Some(FromClient::StdinClosed(true))) => guest.leave(),
            Some(Some(FromClient::Left(true))) => {
                guest.leave();
                return InputEnd::Client;
            }
            Some(Some(FromClient::StdinClosed(false) | FromClient::Left(false)))
            | Some(Some(FromClient::Open(_)) | None) => {}
            None => {
                guest.leave();
                return InputEnd::Input;
            }
        }
    }
    InputEnd::Input
}

/// A client that is attached to stdin, until it has said that it is done, or has gone.
///
/// One that is gone together with its whole connection isn't done: its manager has died. The
/// process must not notice; the next manager may let the client go on.
struct StdinGuest {
    target: Option<Target>,
    connection: Connection,
}

impl StdinGuest {
    async fn write(&self, data: &[u8]) {
        if let Some(target) = &self.target {
            target.process().io.write_stdin(data).await;
        }
    }

    fn leave(&mut self) {
        if let Some(target) = self.target.take() {
            tokio::spawn(async move { target.process().io.client_left_stdin().await });
        }
    }
}

impl Drop for StdinGuest {
    fn drop(&mut self) {
        let Some(target) = self.target.take() else { return };
        let connection = self.connection.clone();
        tokio::spawn(async move {
            // Streams are seen to end before their connection is.
            tokio::time::sleep(CONNECTION_PATIENCE).await;
            if !connection.is_lost() {
                target.process().io.client_left_stdin().await;
            }
        });
    }
}

/// What a client receives. When the client goes, this is dropped, and its input ends.
pub(crate) struct ClientStream {
    greeted: bool,
    output: Attachment,
    input: InputGuard,
}

/// The task that moves a client's input, which ends with this.
struct InputGuard(Option<JoinHandle<InputEnd>>);

impl InputGuard {
    /// Whether the client has said that it leaves; if not, `context` is woken when it does.
    fn says_it_left(&mut self, context: &mut Context<'_>) -> bool {
        let Some(task) = &mut self.0 else { return false };
        match Pin::new(task).poll(context) {
            Poll::Ready(end) => {
                self.0 = None;
                matches!(end, Ok(InputEnd::Client))
            }
            Poll::Pending => false,
        }
    }
}

impl Drop for InputGuard {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Stream for ClientStream {
    type Item = std::result::Result<api::AttachResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let reply = |message| Poll::Ready(Some(Ok(api::AttachResponse { message: Some(message) })));
        if !self.greeted {
            self.greeted = true;
            return reply(ToClient::Attached(true));
        }
        match Pin::new(&mut self.output).poll_next(context) {
            Poll::Ready(Some(Output::Data(Channel::Stdout, data))) => reply(ToClient::Stdout(data)),
            Poll::Ready(Some(Output::Data(Channel::Stderr, data))) => reply(ToClient::Stderr(data)),
            Poll::Ready(Some(Output::Dropped(count))) => reply(ToClient::Dropped(count)),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if self.input.says_it_left(context) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
