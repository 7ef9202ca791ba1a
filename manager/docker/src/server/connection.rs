//! One connection: the requests that come over it, one after the other.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::answer::answer;
use crate::api::Closing;
use crate::stream::client::ClientSocket;
use crate::stream::hangup::gone;
use crate::stream::socket::Socket;

/// How long a client may take to send the head of a request, from when it connected or from its
/// last request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// How long it may take to agree on an encryption, once it has begun.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves one connection.
pub(super) async fn serve(
    socket: Socket,
    encryption: Option<TlsAcceptor>,
    router: Router,
    closing: Closing,
) {
    // Buffers are made only when there is something to read: an idle connection costs next to
    // nothing.
    tokio::select! {
        first = timeout(HEAD_TIMEOUT, socket.first_byte()) => {
            if matches!(first, Ok(Ok(()))) {
                Box::pin(begin(socket.clone(), encryption, router, closing)).await;
            }
        }
        () = closing.clone().wait() => {}
    }
}

/// Begins with the encryption, if there is to be one.
async fn begin(socket: Socket, encryption: Option<TlsAcceptor>, router: Router, closing: Closing) {
    let client = match encryption {
        None => ClientSocket::Plain(socket),
        Some(acceptor) => {
            let agreed = timeout(HANDSHAKE_TIMEOUT, ClientSocket::encrypted(socket, &acceptor));
            match agreed.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(client) => client,
                Err(error) => {
                    return tracing::debug!("a client can't be talked to by TLS: {error}");
                }
            }
        }
    };
    requests(client, router, closing).await;
}

/// Serves the requests of a connection, until the client or the server ends it.
async fn requests(socket: ClientSocket, router: Router, closing: Closing) {
    let gone = gone(socket.socket().clone());
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
