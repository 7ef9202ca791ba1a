//! A containerd, as far as it takes events.

use std::path::Path;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tare_proto::containerd::events as wire;
use tare_proto::containerd::services::events::v1 as api;
use tare_proto::containerd::services::events::v1::events_server::{Events, EventsServer};
use tokio::sync::mpsc;
use tonic::codegen::{Service, http};
use tonic::{Request, Response, Status};

use super::client::PATIENCE;

/// An event about a container's init, or any other by its topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Start { pid: u32 },
    Exit { pid: u32, status: u32 },
    Other(String),
}

/// What has been published.
pub(crate) struct Published {
    events: mpsc::UnboundedReceiver<Event>,
}

impl Published {
    /// Takes events at `socket` from now on.
    pub(crate) fn listen(socket: &Path) -> Self {
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let server = EventsServer::new(Listener { sender });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let mut server = server.clone();
                    async move { server.call(request).await }
                });
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Published { events }
    }

    pub(crate) async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("no event").unwrap()
    }
}

struct Listener {
    sender: mpsc::UnboundedSender<Event>,
}

#[tonic::async_trait]
impl Events for Listener {
    async fn forward(&self, request: Request<api::ForwardRequest>) -> Result<Response<()>, Status> {
        let envelope = request.into_inner().envelope.unwrap();
        let content = envelope.event.unwrap().value;
        let event = match envelope.topic.as_str() {
            "/tasks/start" => {
                Event::Start { pid: wire::TaskStart::decode(&content[..]).unwrap().pid }
            }
            "/tasks/exit" => {
                let exit = wire::TaskExit::decode(&content[..]).unwrap();
                assert_eq!(exit.id, exit.container_id);
                Event::Exit { pid: exit.pid, status: exit.exit_status }
            }
            other => Event::Other(other.to_owned()),
        };
        self.sender.send(event).unwrap();
        Ok(Response::new(()))
    }
}
