//! WebSockets: the streams of a container for who can speak nothing else, such as a page in a
//! browser. Each piece of output is a binary message; what the client sends is input, whatever kind
//! of message it is in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{Sink, Stream, StreamExt};
use hyper::upgrade::OnUpgrade;
use tare_core::container::Attachment;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use super::client::ClientSocket;
use super::frame::Framing;
use super::hijack::take;
use super::session::{self, Client, ClientInput, Ended};
use crate::error::{Error, Result};

/// The only version of the protocol that there is.
const VERSION: &str = "13";
/// The largest message that a client may send.
const LARGEST: usize = 1 << 20;

/// A client that has asked for a WebSocket.
pub(crate) struct Handshake {
    upgrade: OnUpgrade,
    answer: Response,
}

impl Handshake {
    /// Looks whether that is what it has asked for.
    pub(crate) fn of(mut request: Request) -> Result<Self> {
        let key = key(request.headers())?;
        let headers = [
            (header::CONNECTION, "Upgrade".to_owned()),
            (header::UPGRADE, "websocket".to_owned()),
            (header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes())),
        ];
        let mut answer = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
        // Who offers one protocol above this one gets it; nothing is different by it.
        if let Some(protocol) = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL) {
            if protocol.as_bytes().contains(&b',') {
                return Err(Error::invalid("several Sec-WebSocket-Protocol were offered"));
            }
            answer.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        Ok(Self { upgrade: hyper::upgrade::on(&mut request), answer })
    }

    /// Answers, and connects the client with the process in the background.
    pub(crate) fn connect(
        self,
        attachment: Attachment,
        input: ClientInput,
        ended: impl FnOnce(Ended) + Send + 'static,
    ) -> Response {
        let Self { upgrade, answer } = self;
        tokio::spawn(async move {
            match take(upgrade).await {
                Ok(client) => ended(run(client, attachment, input).await),
                Err(error) => tracing::debug!("a client left before its streams: {error}"),
            }
        });
        answer
    }
}

fn key(headers: &HeaderMap) -> Result<&str> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let has = |name, word: &str| {
        text(name).is_some_and(|list| {
            list.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(word))
        })
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err(Error::invalid("not websocket protocol"));
    }
    if text(header::SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err(Error::invalid("missing or bad WebSocket Version"));
    }
    text(header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| Error::invalid("missing Sec-WebSocket-Key, or it is no text"))
}

async fn run<H: Future<Output = ()>>(
    client: Client<ClientSocket, ClientSocket, H>,
    attachment: Attachment,
    input: ClientInput,
) -> Ended {
    let Client { early, reader, hangup, .. } = client;
    let limits =
        WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
    let early = early.to_vec();
    let socket =
        WebSocketStream::from_partially_read(reader, early, Role::Server, Some(limits)).await;
    let (output, messages) = socket.split();
    let client = Client {
        early: Bytes::new(),
        reader: Reader { messages, message: Bytes::new() },
        writer: Writer { output, flushing: false },
        hangup,
    };
    session::run_framed(client, attachment, input, Framing::Raw).await
}

/// What is in the client's messages.
struct Reader {
    messages: SplitStream<WebSocketStream<ClientSocket>>,
    message: Bytes,
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.message.is_empty() {
            match ready!(Pin::new(&mut self.messages).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => self.message = bytes,
                Some(Ok(Message::Text(text))) => self.message = text.into(),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let length = self.message.len().min(buffer.remaining());
        buffer.put_slice(&self.message[..length]);
        self.message.advance(length);
        Poll::Ready(Ok(()))
    }
}

/// Puts each piece that is written into a message.
struct Writer {
    output: SplitSink<WebSocketStream<ClientSocket>, Message>,
    /// A message waits for the socket to take the one before.
    flushing: bool,
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // One message at a time, so that nothing piles up before a client that doesn't read.
        if self.flushing {
            ready!(self.as_mut().poll_flush(context))?;
        }
        ready!(Pin::new(&mut self.output).poll_ready(context)).map_err(broken)?;
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        Pin::new(&mut self.output).start_send(message).map_err(broken)?;
        self.flushing = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.output).poll_flush(context)).map_err(broken)?;
        self.flushing = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.output).poll_close(context)) {
            // The client has closed it before.
            Err(WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed) | Ok(()) => {
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }
}

fn broken(error: WebSocketError) -> io::Error {
    match error {
        WebSocketError::Io(error) => error,
        WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => {
            io::ErrorKind::BrokenPipe.into()
        }
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_handshake_is_whole() {
        let mut headers = HeaderMap::new();
        let mut with = |name: HeaderName, value: &'static str| {
            headers.insert(name, HeaderValue::from_static(value));
            key(&headers).map(str::to_owned).map_err(|error| error.to_string())
        };
        assert!(with(header::UPGRADE, "WebSocket").unwrap_err().contains("not websocket"));
        let without_version = with(header::CONNECTION, "keep-alive, Upgrade").unwrap_err();
        assert!(without_version.contains("WebSocket Version"));
        assert!(with(header::SEC_WEBSOCKET_VERSION, "13").unwrap_err().contains("Key"));
        assert_eq!(with(header::SEC_WEBSOCKET_KEY, "abc").unwrap(), "abc");
    }
}
