//! Calls over a connection that the other end opened: HTTP/2 without TLS, and without having agreed
//! on it.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::codegen::{Service, http};

/// Bytes that may be under way on one call.
const CALL_WINDOW: u32 = 256 << 10;
/// Bytes that may be under way on all of them. There are never that many; but half of them is what
/// the small pieces may cost, a file each, that clients send, before the connection is taken for an
/// attack: with fewer, that would be so for a call with many of them whose receiver is slow.
const WINDOW: u32 = 16 << 20;

/// A message may be this large; one that is larger is an error of its call.
pub(super) const LARGEST: usize = 16 << 20;

/// Calls the other end. A copy is the same connection.
#[derive(Clone)]
pub(super) struct Link(SendRequest<Body>);

/// Where calls of [`Link`] say that they go; nobody looks.
pub(super) fn origin() -> http::Uri {
    http::Uri::from_static("http://localhost")
}

/// Begins with `io`: calls are made as long as the future is polled, which ends with the connection.
pub(super) async fn open<IO>(io: IO) -> hyper::Result<(Link, impl Future<Output = ()> + Send)>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (calls, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(CALL_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(64 << 10)
        .handshake::<_, Body>(TokioIo::new(io))
        .await?;
    let ends = async {
        if let Err(error) = connection.await {
            tracing::debug!("a session's connection: {error}");
        }
    };
    Ok((Link(calls), ends))
}

impl Service<http::Request<Body>> for Link {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
