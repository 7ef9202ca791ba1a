//! A client in the same process: what it has is given to its services, what it gets is kept.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tare_proto::builds::containerd::services::content::v1::content_server::{
    Content, ContentServer,
};
use tare_proto::builds::containerd::services::content::v1::{
    Info, InfoRequest, InfoResponse, ReadContentRequest, ReadContentResponse, WriteAction,
    WriteContentRequest, WriteContentResponse,
};
use tare_proto::builds::fsutil::types::packet::PacketType;
use tare_proto::builds::fsutil::types::{Packet, Stat};
use tare_proto::builds::grpc::health::v1::health_server::{Health, HealthServer};
use tare_proto::builds::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use tare_proto::builds::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use tare_proto::builds::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use tare_proto::builds::moby::filesync::v1::auth_server::{Auth, AuthServer};
use tare_proto::builds::moby::filesync::v1::file_send_server::{FileSend, FileSendServer};
use tare_proto::builds::moby::filesync::v1::file_sync_server::{FileSync, FileSyncServer};
use tare_proto::builds::moby::filesync::v1::{self as filesync};
use tare_proto::builds::moby::sshforward::v1::ssh_server::{Ssh, SshServer};
use tare_proto::builds::moby::sshforward::v1::{self as sshforward};
use tare_proto::builds::moby::upload::v1::upload_server::{Upload, UploadServer};
use tare_proto::builds::moby::upload::v1::{self as upload};
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::contexts::ContextStore;
use super::health::Patience;
use super::{Introduction, Session, Sessions, files};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a client has, and what it got.
#[derive(Default)]
pub(super) struct Has {
    /// Files, in walking order, with what is in them.
    pub(super) files: Mutex<Vec<(Stat, Bytes)>>,
    /// What it sends instead of them.
    pub(super) script: Mutex<Option<Vec<Packet>>>,
    /// How many files it was asked for.
    pub(super) asked: Mutex<usize>,
    /// How many transfers it has begun; while it holds on, they wait after the last file.
    pub(super) begun: Notify,
    pub(super) hold: Mutex<Option<Arc<Notify>>>,
    /// What was said beside calls.
    pub(super) said: Mutex<Vec<MetadataMap>>,
    /// Streams that it got.
    pub(super) got: Mutex<Vec<u8>>,
    /// Blobs in its store.
    pub(super) blobs: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Uploads come in many small pieces, of which it counts those that are on their way.
    pub(super) crumbs: Option<Arc<watch::Sender<usize>>>,
    /// Where it puts trees that it gets.
    pub(super) takes: Option<ContextStore>,
    /// Health checks are left without an answer.
    pub(super) ill: bool,
}

/// A client's services.
#[derive(Clone)]
struct Client(Arc<Has>);

/// A session of a client that has `has`; it ends when what is given with it is dropped.
pub(super) async fn session(has: &Arc<Has>) -> (Session, Serving) {
    let sessions = Sessions::default();
    let serving = serve(&sessions, "session", has, Patience::default());
    (sessions.find("session").await, serving)
}

/// Both ends of a session.
pub(super) struct Serving {
    pub(super) client: tokio::task::JoinHandle<()>,
    pub(super) server: tokio::task::JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.client.abort();
        self.server.abort();
    }
}

/// Serves the session `id` of a client that has `has`.
pub(super) fn serve(sessions: &Sessions, id: &str, has: &Arc<Has>, patience: Patience) -> Serving {
    let methods = ["FileSync", "FileSend"].map(|of| format!("/moby.filesync.v1.{of}/diffCopy"));
    let introduction = Introduction {
        id: id.to_owned(),
        shared_key: "shared".to_owned(),
        methods: methods.to_vec(),
        ..Introduction::default()
    };
    let admitted = sessions.admit(introduction).unwrap();
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let server = tokio::spawn(admitted.serve_patiently(ours, patience));
    let client = Client(Arc::clone(has));
    let client = tokio::spawn(async move {
        let service = service_fn(|request| client.clone().answer(request));
        let _ = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(theirs), service)
            .await;
    });
    Serving { client, server }
}

/// Pieces of an upload in [`Has::crumbs`].
pub(super) const CRUMBS: usize = 20_000;

/// An upload in which each piece is a message and a frame of its own, as Go sends them.
fn crumbs(sent: Arc<watch::Sender<usize>>) -> http::Response<Body> {
    let message = upload::BytesMessage { data: Bytes::from_static(&[b'x'; 20]) };
    let mut frame = BytesMut::from(&[0, 0, 0, 0, 22][..]);
    message.encode(&mut frame).unwrap();
    let frame = frame.freeze();
    let frames = (0..CRUMBS).map(move |_| {
        sent.send_modify(|sent| *sent += 1);
        Ok::<_, Status>(Frame::data(frame.clone()))
    });
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let all = frames.chain(std::iter::once(Ok(Frame::trailers(trailers))));
    let mut response = http::Response::new(Body::new(StreamBody::new(tokio_stream::iter(all))));
    let kind = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}

impl Client {
    async fn answer(
        self,
        mut request: http::Request<Incoming>,
    ) -> Result<http::Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        if let (true, Some(store)) = (path.contains("FileSend"), &self.0.takes) {
            *request.uri_mut() = "/moby.filesync.v1.FileSync/DiffCopy".parse().unwrap();
            return FileSyncServer::new(Taker(store.clone())).call(request).await;
        }
        if let (true, Some(sent)) = (path.contains("Upload"), &self.0.crumbs) {
            return Ok(crumbs(Arc::clone(sent)));
        }
        match path.split('/').nth(1).unwrap_or_default() {
            "grpc.health.v1.Health" => HealthServer::new(self).call(request).await,
            "moby.filesync.v1.FileSync" => FileSyncServer::new(self).call(request).await,
            "moby.filesync.v1.FileSend" => FileSendServer::new(self).call(request).await,
            "moby.filesync.v1.Auth" => AuthServer::new(self).call(request).await,
            "moby.buildkit.secrets.v1.Secrets" => SecretsServer::new(self).call(request).await,
            "moby.sshforward.v1.SSH" => SshServer::new(self).call(request).await,
            "moby.upload.v1.Upload" => UploadServer::new(self).call(request).await,
            _ => ContentServer::new(self).call(request).await,
        }
    }
}

#[tonic::async_trait]
impl Health for Client {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if self.0.ill {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(HealthCheckResponse { status: 1 }))
    }

    type WatchStream = Answers<HealthCheckResponse>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watch"))
    }
}

#[tonic::async_trait]
impl FileSync for Client {
    type DiffCopyStream = ReceiverStream<Result<Packet, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        self.0.said.lock().unwrap().push(request.metadata().clone());
        let (packets, outgoing) = mpsc::channel(8);
        let (has, mut requests) = (Arc::clone(&self.0), request.into_inner());
        tokio::spawn(async move {
            let script = has.script.lock().unwrap().clone();
            if let Some(script) = script {
                for packet in script {
                    let _ = packets.send(Ok(packet)).await;
                }
                // Whatever it is told.
                while let Ok(Some(_)) = requests.message().await {}
                return;
            }
            let files = has.files.lock().unwrap().clone();
            for (stat, _) in &files {
                let packet = Packet { stat: Some(stat.clone()), ..Packet::default() };
                let _ = packets.send(Ok(packet)).await;
            }
            has.begun.notify_one();
            let hold = has.hold.lock().unwrap().clone();
            if let Some(hold) = hold {
                hold.notified().await;
            }
            let _ = packets.send(Ok(Packet::default())).await;
            while let Ok(Some(packet)) = requests.message().await {
                if packet.r#type() == PacketType::Fin {
                    let _ = packets.send(Ok(packet)).await;
                    return;
                }
                if packet.r#type() != PacketType::Req {
                    return;
                }
                *has.asked.lock().unwrap() += 1;
                let data = |data| Packet {
                    r#type: PacketType::Data.into(),
                    id: packet.id,
                    data,
                    ..Packet::default()
                };
                let content = &files[packet.id as usize].1;
                for piece in content.chunks(1000) {
                    let _ = packets.send(Ok(data(Bytes::copy_from_slice(piece)))).await;
                }
                let _ = packets.send(Ok(data(Bytes::new()))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// Receives a tree as clients do that get one.
struct Taker(ContextStore);

#[tonic::async_trait]
impl FileSync for Taker {
    type DiffCopyStream = Answers<Packet>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let (requests, outgoing) = mpsc::unbounded_channel();
        let (packets, arriving) = mpsc::channel(8);
        let receiver = files::testing::receiver(&self.0, requests);
        tokio::task::spawn_blocking(move || receiver.run(arriving));
        let mut incoming = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(packet)) = incoming.message().await {
                let _ = packets.send(packet).await;
            }
        });
        let outgoing = UnboundedReceiverStream::new(outgoing);
        Ok(Response::new(Box::pin(tokio_stream::StreamExt::map(outgoing, Ok))))
    }
}

#[tonic::async_trait]
impl FileSend for Client {
    type DiffCopyStream = Answers<filesync::BytesMessage>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<filesync::BytesMessage>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        self.0.said.lock().unwrap().push(request.metadata().clone());
        if request.metadata().contains_key("exporter-md-refused") {
            return Err(Status::already_exists("target already exists"));
        }
        let mut pieces = request.into_inner();
        while let Some(piece) = pieces.message().await? {
            self.0.got.lock().unwrap().extend_from_slice(&piece.data);
        }
        Ok(Response::new(Box::pin(tokio_stream::empty())))
    }
}

#[tonic::async_trait]
impl Auth for Client {
    async fn credentials(
        &self,
        request: Request<filesync::CredentialsRequest>,
    ) -> Result<Response<filesync::CredentialsResponse>, Status> {
        let answer = match request.into_inner().host.as_str() {
            "private" => ("someone".to_owned(), "secret".to_owned()),
            "broken" => return Err(Status::internal("no helper")),
            _ => Default::default(),
        };
        let (username, secret) = answer;
        Ok(Response::new(filesync::CredentialsResponse { username, secret }))
    }

    async fn fetch_token(
        &self,
        request: Request<filesync::FetchTokenRequest>,
    ) -> Result<Response<filesync::FetchTokenResponse>, Status> {
        let request = request.into_inner();
        if request.realm.is_empty() {
            return Err(Status::unavailable("ask somebody else"));
        }
        let token = format!("{}?{}", request.realm, request.scopes.join("&"));
        Ok(Response::new(filesync::FetchTokenResponse { token, expires_in: 60, issued_at: 0 }))
    }

    async fn get_token_authority(
        &self,
        _: Request<filesync::GetTokenAuthorityRequest>,
    ) -> Result<Response<filesync::GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("authority"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<filesync::VerifyTokenAuthorityRequest>,
    ) -> Result<Response<filesync::VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("authority"))
    }
}

#[tonic::async_trait]
impl Secrets for Client {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        match request.into_inner().id.as_str() {
            "known" => Ok(Response::new(GetSecretResponse { data: b"hush\0\xff".to_vec() })),
            "large" => Ok(Response::new(GetSecretResponse { data: vec![0; 2 << 20] })),
            id => Err(Status::not_found(format!("secret {id}"))),
        }
    }
}

#[tonic::async_trait]
impl Ssh for Client {
    async fn check_agent(
        &self,
        request: Request<sshforward::CheckAgentRequest>,
    ) -> Result<Response<sshforward::CheckAgentResponse>, Status> {
        match request.into_inner().id.as_str() {
            "default" => Ok(Response::new(sshforward::CheckAgentResponse::default())),
            id => Err(Status::unknown(format!("unset ssh forward key {id}"))),
        }
    }

    type ForwardAgentStream = ReceiverStream<Result<sshforward::BytesMessage, Status>>;

    /// An agent that says everything again.
    async fn forward_agent(
        &self,
        request: Request<Streaming<sshforward::BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        self.0.said.lock().unwrap().push(request.metadata().clone());
        let (answers, outgoing) = mpsc::channel(1);
        let mut pieces = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(piece)) = pieces.message().await {
                let _ = answers.send(Ok(piece)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

#[tonic::async_trait]
impl Upload for Client {
    type PullStream = Answers<upload::BytesMessage>;

    async fn pull(
        &self,
        request: Request<Streaming<upload::BytesMessage>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        self.0.said.lock().unwrap().push(request.metadata().clone());
        let pieces = ["a tar ", "in two pieces"]
            .map(|piece| Ok(upload::BytesMessage { data: Bytes::from_static(piece.as_bytes()) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }
}

#[tonic::async_trait]
impl Content for Client {
    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        self.0.said.lock().unwrap().push(request.metadata().clone());
        let digest = request.into_inner().digest;
        let blobs = self.0.blobs.lock().unwrap();
        let blob = blobs.get(&digest).ok_or_else(|| Status::not_found("no blob"))?;
        let info = Info { digest, size: blob.len() as i64, ..Info::default() };
        Ok(Response::new(InfoResponse { info: Some(info) }))
    }

    type ReadStream = Answers<ReadContentResponse>;

    async fn read(
        &self,
        request: Request<ReadContentRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let blobs = self.0.blobs.lock().unwrap();
        let blob = blobs.get(&request.into_inner().digest);
        let blob = blob.ok_or_else(|| Status::not_found("no blob"))?;
        let pieces: Vec<_> = blob
            .chunks(7)
            .map(|piece| Ok(ReadContentResponse { offset: 0, data: Bytes::copy_from_slice(piece) }))
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    type WriteStream = ReceiverStream<Result<WriteContentResponse, Status>>;

    async fn write(
        &self,
        request: Request<Streaming<WriteContentRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let (answers, outgoing) = mpsc::channel(1);
        let (has, mut requests) = (Arc::clone(&self.0), request.into_inner());
        tokio::spawn(async move {
            let mut blob = Vec::new();
            while let Ok(Some(request)) = requests.message().await {
                let is_known = has.blobs.lock().unwrap().contains_key(&request.expected);
                let answer = if is_known {
                    Err(Status::already_exists("content already exists"))
                } else {
                    blob.extend_from_slice(&request.data);
                    if request.action() == WriteAction::Commit {
                        has.blobs.lock().unwrap().insert(request.expected.clone(), blob.clone());
                    }
                    let offset = blob.len() as i64;
                    Ok(WriteContentResponse { offset, ..WriteContentResponse::default() })
                };
                let _ = answers.send(answer).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}
