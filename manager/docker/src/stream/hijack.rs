//! Taking a connection over from HTTP: attach and exec talk over it in both directions.
//!
//! A client that asks for an upgrade gets `101 UPGRADED` and the bare socket. One that doesn't gets
//! the output as the body of a plain answer, and what is left of its request is the input.

use std::io::{self, Cursor};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tare_core::container::{Attachment, OutputStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Chain, Join, duplex, join};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::body_reader::BodyReader;
use super::client::ClientSocket;
use super::frame::{self, Framing};
use super::hangup::hangup;
use super::session::{self, Client, ClientInput, Ended};
use crate::version::ApiVersion;

/// What the content of such a connection is called.
const RAW: &str = "application/vnd.docker.raw-stream";
/// The same where output comes in frames, since API 1.42.
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// How long output that is there already waits after the answer's head. Some clients (docker-py)
/// read the head through a buffer of their own, and lose what they find in it behind that.
const HEAD_START: Duration = Duration::from_millis(20);
/// Bytes of output between a process and the body of a plain answer.
const BUFFERED: usize = 64 << 10;

/// The media type of output.
pub(crate) fn media_type(framing: Framing, version: ApiVersion) -> &'static str {
    match framing {
        Framing::Multiplexed if version >= ApiVersion::new(1, 42) => MULTIPLEXED,
        Framing::Multiplexed | Framing::Raw => RAW,
    }
}

/// The way to a client that will get a process's streams.
pub(crate) enum Channel {
    /// The whole connection, once the answer has been sent.
    Upgrade(OnUpgrade),
    /// The answer's body, with the request's as input.
    Plain(Body),
}

/// When the first output is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// It was written before.
    IsThere,
    /// The process is yet to write it.
    Comes,
}

impl Channel {
    /// The channel that a client asks for.
    pub(crate) fn of(mut request: Request) -> Self {
        match Self::without_body(&mut request) {
            Self::Plain(_) => Self::Plain(request.into_body()),
            upgrade => upgrade,
        }
    }

    /// The same for a request whose body says something else.
    pub(crate) fn without_body(request: &mut Request) -> Self {
        if request.headers().contains_key(header::UPGRADE) {
            Self::Upgrade(hyper::upgrade::on(request))
        } else {
            Self::Plain(Body::empty())
        }
    }

    /// Answers, and connects the client with the process in the background. `ended` is called when
    /// that is over.
    pub(crate) fn connect(
        self,
        attachment: Attachment,
        input: ClientInput,
        first: First,
        version: ApiVersion,
        ended: impl FnOnce(Ended) + Send + 'static,
    ) -> Response {
        let media_type = media_type(Framing::of(attachment.terminal), version);
        match self {
            Self::Upgrade(upgrade) => {
                tokio::spawn(async move {
                    let client = take(upgrade).await;
                    if first == First::IsThere {
                        sleep(HEAD_START).await;
                    }
                    match client {
                        Ok(client) => ended(session::run(client, attachment, input).await),
                        Err(error) => tracing::debug!("a client left before its streams: {error}"),
                    }
                });
                upgraded(media_type)
            }
            Self::Plain(body) => plain(body, attachment, input, ended),
        }
    }

    /// The same for a process that is yet to start, by `starting`. The client gets the answer before
    /// anything else: some clients lose what comes together with it. A failure is said where the
    /// process's output would have been.
    pub(crate) async fn connect_when(
        self,
        starting: impl Future<Output = tare_core::Result<()>> + Send + 'static,
        attachment: Attachment,
        input: ClientInput,
        version: ApiVersion,
    ) -> Response {
        let framing = Framing::of(attachment.terminal);
        let media_type = media_type(framing, version);
        match self {
            Self::Upgrade(upgrade) => {
                tokio::spawn(async move {
                    let client = take(upgrade).await;
                    let started = starting.await;
                    match (client, started) {
                        (Ok(client), Ok(())) => drop(session::run(client, attachment, input).await),
                        (Ok(client), Err(error)) => say(client, failure(&error, framing)).await,
                        (Err(error), _) => {
                            tracing::debug!("a client left before its streams: {error}");
                        }
                    }
                });
                upgraded(media_type)
            }
            Self::Plain(body) => match starting.await {
                Ok(()) => plain(body, attachment, input, drop),
                Err(error) => {
                    let said = Body::from(failure(&error, framing));
                    ([(header::CONTENT_TYPE, RAW)], said).into_response()
                }
            },
        }
    }
}

#[cfg(test)]
impl Channel {
    /// Answers with `text` alone, for tests that have no process.
    pub(crate) fn say(self, text: &str, framing: Framing, version: ApiVersion) -> Response {
        let (media_type, said) = (media_type(framing, version), framed(text, framing));
        match self {
            Self::Upgrade(upgrade) => {
                tokio::spawn(async move { say(take(upgrade).await.unwrap(), said).await });
                upgraded(media_type)
            }
            Self::Plain(_) => ([(header::CONTENT_TYPE, RAW)], Body::from(said)).into_response(),
        }
    }
}

/// A failure as a process's output.
fn failure(error: &tare_core::Error, framing: Framing) -> Bytes {
    framed(&format!("{error}\r\n"), framing)
}

fn framed(text: &str, framing: Framing) -> Bytes {
    let mut said = BytesMut::new();
    if framing == Framing::Multiplexed {
        said.extend(frame::head(OutputStream::Stdout, text.len()));
    }
    said.extend(text.as_bytes());
    said.freeze()
}

/// Sends what there is to say, and ends the connection.
async fn say<H>(mut client: Client<ClientSocket, ClientSocket, H>, said: Bytes) {
    // A client that has left doesn't want to know.
    if client.writer.write_all(&said).await.is_ok() && client.writer.shutdown().await.is_ok() {
        session::discard(&mut client.reader).await;
    }
}

/// The answer that lets the connection go.
fn upgraded(media_type: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONNECTION, "Upgrade"),
        (header::UPGRADE, "tcp"),
    ];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    response.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
    response
}

/// Waits until the answer has been sent and takes the connection.
pub(super) async fn take(
    upgrade: OnUpgrade,
) -> io::Result<Client<ClientSocket, ClientSocket, impl Future<Output = ()>>> {
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    let parts = upgraded
        .downcast::<TokioIo<ClientSocket>>()
        .map_err(|_| io::Error::other("the connection is no socket of a client"))?;
    let socket = parts.io.into_inner();
    let hangup = hangup(socket.socket().clone());
    Ok(Client { early: parts.read_buf, reader: socket.clone(), writer: socket, hangup })
}

/// A connection that speaks something else from now on.
pub(crate) type Connection = Join<Chain<Cursor<Bytes>, ClientSocket>, ClientSocket>;

/// Waits until the answer has been sent and takes the connection, whatever comes over it then.
pub(crate) async fn connection(upgrade: OnUpgrade) -> io::Result<Connection> {
    let Client { early, reader, writer, .. } = take(upgrade).await?;
    Ok(join(Cursor::new(early).chain(reader), writer))
}

/// Output as the body of an answer. Docker calls it raw in this case, in frames or not.
fn plain(
    body: Body,
    attachment: Attachment,
    input: ClientInput,
    ended: impl FnOnce(Ended) + Send + 'static,
) -> Response {
    let (writer, output) = duplex(BUFFERED);
    // The body that is sent holds the other end: it is dropped when the client is gone.
    let (mut gone, listening) = oneshot::channel::<()>();
    let hangup = async move { gone.closed().await };
    let client = Client { early: Bytes::new(), reader: BodyReader::new(body), writer, hangup };
    tokio::spawn(async move { ended(session::run(client, attachment, input).await) });
    let pieces = stream::unfold((output, listening), async |(mut output, listening)| {
        let mut piece = BytesMut::with_capacity(BUFFERED);
        match output.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(piece.freeze()), (output, listening))),
            Err(error) => Some((Err(error), (output, listening))),
        }
    });
    ([(header::CONTENT_TYPE, RAW)], Body::from_stream(pieces)).into_response()
}
