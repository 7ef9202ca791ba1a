//! The Streams service: clients that attach to a process's standard streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tare_proto::tare::shim::v1 as api;
use tare_proto::tare::shim::v1::attach_request::Message as FromClient;
use tare_proto::tare::shim::v1::attach_response::Message as ToClient;
use tokio::task::AbortHandle;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::error::{Error, Result};
use crate::io::hub::{Attachment, Channel, Output, Wants};
use crate::task::{Exec, Process, Task, Tasks};

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
        if open.exec_id.is_empty() {
            return Ok(Target::Init(task));
        }
        Ok(Target::Exec(task.exec(&open.exec_id)?))
    }
}

/// The process that a client is attached to.
enum Target {
    Init(Arc<Task>),
    Exec(Arc<Exec>),
}

impl Target {
    fn process(&self) -> &Process {
        match self {
            Target::Init(task) => &task.init,
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
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|request| request.message);
        let Some(FromClient::Open(open)) = first else {
            return Err(Error::invalid("Attach: the first message must be open").into());
        };
        let target = self.find(&open)?;
        let wants = Wants { stdout: open.stdout, stderr: open.stderr };
        let output = target.process().io.attach(wants);
        let input = tokio::spawn(copy_input(requests, target, open.stdin)).abort_handle();
        Ok(Response::new(ClientStream { greeted: false, output, _input: InputGuard(input) }))
    }
}

/// Moves a client's input to the process until either has enough.
async fn copy_input(mut requests: Streaming<api::AttachRequest>, target: Target, stdin: bool) {
    let mut guest = StdinGuest { target: Some(target).filter(|_| stdin) };
    while let Ok(Some(request)) = requests.message().await {
        let Some(target) = &guest.target else { continue };
        match request.message {
            Some(FromClient::Stdin(data)) => target.process().io.write_stdin(&data).await,
            Some(FromClient::StdinClosed(true)) => guest.leave(),
            Some(FromClient::StdinClosed(false) | FromClient::Open(_)) | None => {}
        }
    }
}

/// A client that is attached to stdin, until it has said that it is done, or has gone.
struct StdinGuest {
    target: Option<Target>,
}

impl StdinGuest {
    fn leave(&mut self) {
        if let Some(target) = self.target.take() {
            tokio::spawn(async move { target.process().io.client_left_stdin().await });
        }
    }
}

impl Drop for StdinGuest {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What a client receives. When the client goes, this is dropped, and its input ends.
pub(crate) struct ClientStream {
    greeted: bool,
    output: Attachment,
    _input: InputGuard,
}

struct InputGuard(AbortHandle);

impl Drop for InputGuard {
    fn drop(&mut self) {
        self.0.abort();
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
            Poll::Pending => Poll::Pending,
        }
    }
}
