//! Connections: HTTP/1.1 over a unix socket, up to the end of the daemon.

use std::convert::Infallible;
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
use tare_core::engine::Engine;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::api::{Api, Closing};
use crate::error::Error;
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
    let mut closing = pin!(closing.wait());
    // Buffers are made only when there is something to read: an idle connection costs next to
    // nothing.
    tokio::select! {
        readable = timeout(HEAD_TIMEOUT, stream.readable()) => {
            if !matches!(readable, Ok(Ok(()))) {
                return;
            }
        }
        () = &mut closing => return,
    }
    let service = service_fn(move |request| answer(router.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = &mut closing => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!("a connection has ended early: {error}");
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
