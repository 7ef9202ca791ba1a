//! The shim's services over ttrpc, which is what stock containerd speaks to shims, and our own manager:
//! a plain framing of protobuf messages, without HTTP/2. It is served on the same socket as gRPC.

mod call;
mod watch;

use std::io;
use std::sync::Arc;

use prost::Message;
use tare_proto::ttrpc::{Frame, Frames, Header, Kind, Request, Response, RpcStatus};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tonic::Status;

use crate::diagnostics::debug;
use crate::memory;
use crate::server::Ending;
use crate::service::{SupervisionService, TaskService};

/// Whether a connection whose first byte this is speaks ttrpc: its messages begin with their length,
/// which is less than 16 MiB. HTTP/2 begins with `PRI`.
pub(crate) fn is_spoken(first_byte: u8) -> bool {
    first_byte == 0
}

/// What can be called.
#[derive(Clone)]
pub(crate) struct Services {
    /// containerd's.
    pub(crate) task: TaskService,
    /// Our own.
    pub(crate) supervision: SupervisionService,
}

/// Serves one connection until its client closes it, or all its calls are answered after a Shutdown.
/// Calls that are still waiting when the client has gone are dropped.
pub(crate) async fn serve(stream: UnixStream, services: Services, mut ending: Ending) {
    let (reader, writer) = stream.into_split();
    let mut requests = Frames::new(reader);
    let writer = Arc::new(Mutex::new(writer));
    let mut calls = JoinSet::new();
    loop {
        let read = tokio::select! {
            read = requests.next() => read,
            () = ending.told() => {
                while calls.join_next().await.is_some() {}
                return;
            }
        };
        match read {
            Ok(Some(frame)) if frame.kind == Kind::Request => {
                while calls.try_join_next().is_some() {}
                let client = Client { header: frame.header, writer: Arc::clone(&writer) };
                calls.spawn(answer(frame, services.clone(), client));
            }
            Ok(Some(Frame { kind, .. })) => {
                debug(format_args!("a connection ended: it has a message of type {kind:?}"));
                return;
            }
            Ok(None) => return,
            Err(error) => {
                debug(format_args!("a connection ended: {error}"));
                return;
            }
        }
    }
}

/// Who waits for the answer to one call.
struct Client {
    header: Header,
    writer: Arc<Mutex<OwnedWriteHalf>>,
}

impl Client {
    async fn send(&self, kind: Kind, message: &impl Message) -> io::Result<()> {
        let bytes = self.header.message(kind, message);
        self.writer.lock().await.write_all(&bytes).await
    }
}

async fn answer(frame: Frame, services: Services, client: Client) {
    let result = match Request::decode(frame.payload.as_slice()) {
        Ok(request) if watch::is_asked(&request) => {
            watch::answer(&services.supervision, &request, &client).await.map(|()| Vec::new())
        }
        Ok(request) => call::dispatch(&services, &request).await,
        Err(error) => Err(Status::invalid_argument(error.to_string())),
    };
    let (status, payload) = match result {
        Ok(payload) => (RpcStatus::default(), payload),
        Err(status) => (RpcStatus::from(&status), Vec::new()),
    };
    let response = Response { status: Some(status), payload };
    // A client that has gone wants no answer.
    let _ = client.send(Kind::Response, &response).await;
    memory::is_spare();
}
