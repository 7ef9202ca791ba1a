//! The Task API over ttrpc, which is what stock containerd speaks to shims: a plain framing of
//! protobuf messages, without HTTP/2. It is served on the same socket as gRPC.

mod call;
mod client;
mod frame;

use std::sync::Arc;

use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::diagnostics::debug;
use crate::memory;
use crate::server::Ending;
use crate::service::TaskService;
pub(crate) use client::Client;
use frame::{Frame, Header, RpcStatus};

/// Whether a connection whose first byte this is speaks ttrpc: its messages begin with their length,
/// which is less than 16 MiB. HTTP/2 begins with `PRI`.
pub(crate) fn is_spoken(first_byte: u8) -> bool {
    first_byte == 0
}

/// Serves one connection until its client closes it, or all its calls are answered after a Shutdown.
/// Calls that are still waiting when the client has gone are dropped.
pub(crate) async fn serve(stream: UnixStream, service: TaskService, mut ending: Ending) {
    let (mut reader, writer) = stream.into_split();
    let writer = Arc::new(Mutex::new(writer));
    let mut calls = JoinSet::new();
    loop {
        let read = tokio::select! {
            read = frame::read(&mut reader) => read,
            () = ending.told() => {
                while calls.join_next().await.is_some() {}
                return;
            }
        };
        match read {
            Ok(Some(Frame { header, payload })) => {
                while calls.try_join_next().is_some() {}
                let (service, writer) = (service.clone(), Arc::clone(&writer));
                calls.spawn(answer(header, payload, service, writer));
            }
            Ok(None) => return,
            Err(error) => {
                debug(format_args!("a connection ended: {error}"));
                return;
            }
        }
    }
}

async fn answer(
    header: Header,
    payload: Vec<u8>,
    service: TaskService,
    writer: Arc<Mutex<OwnedWriteHalf>>,
) {
    let result = match frame::Request::decode(payload.as_slice()) {
        Ok(request) => call::dispatch(&service, &request).await,
        Err(error) => Err(Status::invalid_argument(error.to_string())),
    };
    let response = match result {
        Ok(payload) => frame::Response { status: Some(RpcStatus::default()), payload },
        Err(status) => frame::Response { status: Some(encode(&status)), payload: Vec::new() },
    };
    let bytes = frame::response(header, &response.encode_to_vec());
    // A client that has gone wants no answer.
    let _ = writer.lock().await.write_all(&bytes).await;
    memory::is_spare();
}

fn encode(status: &Status) -> RpcStatus {
    let code = if status.code() == Code::Ok { Code::Unknown } else { status.code() };
    RpcStatus { code: code.into(), message: status.message().to_owned() }
}
