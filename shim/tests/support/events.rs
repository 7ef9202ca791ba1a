//! A containerd, as far as it takes events: by ttrpc, each over a connection of its own.

use std::path::Path;

use prost::Message;
use tare_proto::containerd::events as wire;
use tare_proto::containerd::services::events::v1::ForwardRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::client::PATIENCE;

/// An event about a container's init, or any other by its topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Start { pid: u32 },
    Exit { pid: u32, status: u32 },
    Other(String),
}

/// What ttrpc calls a Request, as far as it matters here.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
}

/// A Response whose status says that all is well, with its header.
const WELL: [u8; 12] = [0, 0, 0, 2, 0, 0, 0, 1, 2, 0, 0x0a, 0];

/// What has been published.
pub(crate) struct Published {
    events: mpsc::UnboundedReceiver<Event>,
}

impl Published {
    /// Takes the events of shims that are told that containerd is at `address`.
    pub(crate) fn listen(address: &Path) -> Self {
        let listener = UnixListener::bind(address.with_extension("ttrpc")).unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if sender.send(take(stream).await).is_err() {
                    return;
                }
            }
        });
        Published { events }
    }

    pub(crate) async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("no event").unwrap()
    }
}

async fn take(mut stream: UnixStream) -> Event {
    // The length, the number of the stream, the type and flags.
    let length = stream.read_u32().await.unwrap();
    let mut rest = [0; 6];
    stream.read_exact(&mut rest).await.unwrap();
    let mut request = vec![0; length as usize];
    stream.read_exact(&mut request).await.unwrap();
    stream.write_all(&WELL).await.unwrap();
    let forwarded = Request::decode(&request[..]).unwrap().payload;
    let envelope = ForwardRequest::decode(&forwarded[..]).unwrap().envelope.unwrap();
    let content = envelope.event.unwrap().value;
    match envelope.topic.as_str() {
        "/tasks/start" => Event::Start { pid: wire::TaskStart::decode(&content[..]).unwrap().pid },
        "/tasks/exit" => {
            let exit = wire::TaskExit::decode(&content[..]).unwrap();
            assert_eq!(exit.id, exit.container_id);
            Event::Exit { pid: exit.pid, status: exit.exit_status }
        }
        other => Event::Other(other.to_owned()),
    }
}
