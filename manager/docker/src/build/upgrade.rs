//! From HTTP/1.1 to HTTP/2 on the same connection.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;

use crate::api::Closing;
use crate::stream::hijack;

/// HTTP/2 without encryption of its own.
const PROTOCOL: &str = "h2c";

/// What a client wants to speak, if it can't be that.
pub(super) fn refusal(headers: &HeaderMap) -> Option<String> {
    match headers.get(header::UPGRADE).map(|value| value.as_bytes()) {
        None | Some(b"") => Some("no upgrade proto in request".to_owned()),
        Some(protocol) if protocol == PROTOCOL.as_bytes() => None,
        Some(other) => Some(format!("protocol {} not supported", String::from_utf8_lossy(other))),
    }
}

/// The connection, once the answer has been sent.
pub(super) fn take(request: &mut Request) -> OnUpgrade {
    hyper::upgrade::on(request)
}

/// Answers, and lets `speaking` go on on the connection until that ends, or the server does.
pub(super) fn upgrade<S>(
    connection: OnUpgrade,
    closing: Closing,
    speaking: impl FnOnce(hijack::Connection) -> S + Send + 'static,
) -> Response
where
    S: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        match hijack::connection(connection).await {
            Ok(connection) => tokio::select! {
                () = speaking(connection) => {}
                () = closing.wait() => {}
            },
            Err(error) => tracing::debug!("a client left before its upgrade: {error}"),
        }
    });
    let headers = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, PROTOCOL)];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}
