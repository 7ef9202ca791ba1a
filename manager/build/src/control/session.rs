//! A client's session that comes through a call, for clients that have no connection to spare for it.

use std::sync::Arc;

use bytes::Bytes;
use tare_proto::builds::moby::buildkit::v1 as api;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use super::{Control, failure};
use crate::session::Introduction;

/// Bytes on their way in either direction.
const BUFFERED: usize = 64 << 10;
/// Messages on their way to the client.
const MESSAGES: usize = 4;

/// What goes to the client.
pub(super) type ToClient = ReceiverStream<Result<api::BytesMessage, Status>>;

/// Serves the session whose bytes come by `from_client`, until either end closes it.
pub(super) fn tunnel(
    control: &Arc<Control>,
    metadata: &MetadataMap,
    from_client: Streaming<api::BytesMessage>,
) -> Result<ToClient, Status> {
    let one = |name: &str| {
        let value = metadata.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let methods = metadata.get_all("x-docker-expose-session-grpc-method");
    let methods = methods.iter().filter_map(|method| method.to_str().ok().map(str::to_owned));
    let introduction = Introduction {
        id: one("x-docker-expose-session-uuid"),
        name: one("x-docker-expose-session-name"),
        shared_key: one("x-docker-expose-session-sharedkey"),
        methods: methods.collect(),
    };
    let admitted = control.builder.sessions.admit(introduction);
    let admitted = admitted.map_err(|error| failure::status(&error))?;
    let (ours, theirs) = duplex(BUFFERED);
    let (reader, writer) = split(ours);
    let (to_client, messages) = mpsc::channel(MESSAGES);
    tokio::spawn(async move {
        tokio::select! {
            () = admitted.serve(theirs) => {}
            () = send(reader, to_client) => {}
            () = receive(from_client, writer) => {}
        }
    });
    Ok(ReceiverStream::new(messages))
}

async fn send(
    mut session: ReadHalf<DuplexStream>,
    to_client: mpsc::Sender<Result<api::BytesMessage, Status>>,
) {
    let mut buffer = vec![0; BUFFERED];
    while let Ok(length @ 1..) = session.read(&mut buffer).await {
        let message = api::BytesMessage { data: Bytes::copy_from_slice(&buffer[..length]) };
        if to_client.send(Ok(message)).await.is_err() {
            return;
        }
    }
}

async fn receive(
    mut from_client: Streaming<api::BytesMessage>,
    mut session: WriteHalf<DuplexStream>,
) {
    while let Ok(Some(message)) = from_client.message().await {
        if session.write_all(&message.data).await.is_err() {
            return;
        }
    }
}
