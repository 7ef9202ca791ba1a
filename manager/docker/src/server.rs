//! Connections: HTTP/1.1 over a unix socket, up to the end of the daemon.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Uri, uri::PathAndQuery};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::RecvFlags;
use tare_core::engine::Engine;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::api::{Api, Closing};
use crate::error::Error;
use crate::stream::client::ClientSocket;
use crate::stream::hangup::hangup;
use crate::version::{self, ApiVersion};
use crate::{routes, system};

/// How long a client may take to send the head of a request, from when it connected or from its
/// last request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// How long requests that are being worked on may take once the daemon ends.
const DRAIN: Duration = Duration::from_secs(15);
/// How long to wait with the next connection when the process has no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Serves the API on `listener` until `shutdown` is ready: then no more connections are taken,
/// followers of events and logs are let go, and other requests get some seconds to end.
pub async fn serve(
    listener: UnixListener,
    engine: Arc<Engine>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (close, closing) = watch::channel(false);
    let closing = Closing::new(closing);
    let router = routes::router(Api { engine, closing: closing.clone() });
    // Every connection holds a sender; when the last is gone, so are the connections.
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (router, closing, alive) = (router.clone(), closing.clone(), alive.clone());
                    tokio::spawn(async move {
                        connection(stream, router, closing).await;
                        drop(alive);
                    });
                }
                Err(error) => {
                    tracing::warn!("can't take a connection: {error}");
                    sleep(EXHAUSTED).await;
                }
            },
            () = &mut shutdown => break,
        }
    }
    drop((listener, alive));
    close.send_replace(true);
    if timeout(DRAIN, all_gone.recv()).await.is_err() {
        tracing::warn!("some requests did not end in time; their clients are cut off");
    }
}

/// Serves one connection.
async fn connection(stream: UnixStream, router: Router, closing: Closing) {
    // Buffers are made only when there is something to read: an idle connection costs next to
    // nothing.
    tokio::select! {
        first = timeout(HEAD_TIMEOUT, first_byte(&stream)) => {
            if matches!(first, Ok(Ok(()))) {
                Box::pin(requests(ClientSocket::new(stream), router, closing)).await;
            }
        }
        () = closing.clone().wait() => {}
    }
}

/// Waits until the client has sent something, or ended its side.
async fn first_byte(stream: &UnixStream) -> io::Result<()> {
    let peek = || {
        rustix::net::recv(stream, &mut [0], RecvFlags::PEEK)?;
        Ok(())
    };
    stream.async_io(Interest::READABLE, peek).await
}

/// Serves the requests of a connection, until the client or the server ends it.
async fn requests(socket: ClientSocket, router: Router, closing: Closing) {
    let gone = hangup(socket.clone());
    let service = service_fn(move |request| answer(router.clone(), request));
    // A client that ends its side still gets its answer; one that is gone ends its request.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .half_close(true)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let (mut connection, mut gone) = (pin!(connection), pin!(gone));
    let mut closing = pin!(closing.wait());
    let mut is_closing = false;
    loop {
        tokio::select! {
            served = &mut connection => {
                if let Err(error) = served {
                    tracing::debug!("a connection has ended early: {error}");
                }
                return;
            }
            () = &mut gone => return,
            () = &mut closing, if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Answers one request: finds the version, lets the router work, and adds the common headers.
async fn answer(router: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match versioned(request) {
        Ok(request) => match router.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(error) => error.into_response(),
    };
    for (name, value) in common_headers() {
        response.headers_mut().insert(name, value);
    }
    tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
    Ok(response)
}

/// Takes the version out of a request's path and puts it among the extensions.
fn versioned(mut request: Request<Incoming>) -> Result<Request<Body>, Error> {
    // Names may come with docker's leading slash: `/containers//web/json`.
    let mut path = request.uri().path().to_owned();
    while let Some(double) = path.find("//") {
        path.remove(double);
    }
    let (version, rest) = version::split(&path)?;
    let target = match request.uri().query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let target = PathAndQuery::try_from(target).map_err(|_| Error::page_not_found())?;
    *request.uri_mut() = Uri::from(target);
    request.extensions_mut().insert(version);
    Ok(request.map(Body::new))
}

/// Headers of every answer.
fn common_headers() -> [(HeaderName, HeaderValue); 4] {
    let api = HeaderValue::from_str(&ApiVersion::NEWEST.to_string());
    [
        (HeaderName::from_static("api-version"), api.unwrap_or(HeaderValue::from_static(""))),
        (HeaderName::from_static("ostype"), HeaderValue::from_static("linux")),
        (HeaderName::from_static("docker-experimental"), HeaderValue::from_static("false")),
        (HeaderName::from_static("server"), HeaderValue::from_static(system::SERVER)),
    ]
}

#[cfg(test)]
mod tests {
    use axum::extract::Request as AxumRequest;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::body::Json;
    use crate::stream::frame::Framing;
    use crate::stream::hijack::Channel;

    /// A few endpoints that need no domain.
    fn router() -> Router {
        let say = |version: ApiVersion, request: AxumRequest| async move {
            Channel::of(request).say("hi", Framing::Multiplexed, version)
        };
        Router::new()
            .route("/info", get(async |version: ApiVersion| version.to_string()))
            .route("/say", post(say))
            .route("/body", post(async |Json(value): Json<serde_json::Value>| value.to_string()))
            .fallback(async || Error::page_not_found())
    }

    /// What a client gets that sends `request` and then ends its side.
    async fn exchange(request: &str) -> String {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (_close, closing) = watch::channel(false);
        tokio::spawn(connection(near, router(), Closing::new(closing)));
        far.write_all(request.as_bytes()).await.unwrap();
        far.shutdown().await.unwrap();
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn the_version_in_the_path_is_heard_and_every_answer_says_ours() {
        let answer = exchange("GET /v1.30//info HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\nApi-Version: 1.51\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n1.30"), "{answer}");
        let answer = exchange("GET /v1.99/info HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("{\"message\":\"client version 1.99 is too new."), "{answer}");
        let answer = exchange("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.ends_with("{\"message\":\"page not found\"}"), "{answer}");
    }

    #[tokio::test]
    async fn a_body_that_is_cut_off_is_a_bad_request() {
        let head = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        let answer = exchange(&format!("{head}Content-Length: 100\r\n\r\n{{\"Image\":")).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("the request body was cut off"), "{answer}");
        let answer = exchange(&format!("{head}Content-Length: 2\r\n\r\n{{}}")).await;
        assert!(answer.ends_with("{}"), "{answer}");
    }

    #[tokio::test]
    async fn connections_are_taken_over_with_and_without_an_upgrade() {
        let head = "POST /v1.42/say HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n";
        let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        let answer = exchange(&format!("{head}{upgrade}")).await;
        assert!(answer.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{answer}");
        assert!(answer.contains("Content-Type: application/vnd.docker.multiplexed-stream\r\n"));
        assert!(answer.ends_with("\r\n\r\n\x01\0\0\0\0\0\0\x02hi"), "{answer}");
        let answer = exchange(&format!("{head}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\x01\0\0\0\0\0\0\x02hi"), "{answer}");
    }

    #[tokio::test]
    async fn the_end_of_the_server_ends_idle_connections() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (close, closing) = watch::channel(false);
        let served = tokio::spawn(connection(near, router(), Closing::new(closing)));
        far.write_all(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 8];
        far.read_exact(&mut first).await.unwrap();
        close.send_replace(true);
        timeout(Duration::from_secs(5), served).await.unwrap().unwrap();
    }
}
