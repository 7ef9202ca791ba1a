//! The server without a domain behind it.

use std::time::Duration;

use axum::Router;
use axum::extract::Request as AxumRequest;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::connection;
use crate::api::Closing;
use crate::body::Json;
use crate::error::Error;
use crate::stream::frame::Framing;
use crate::stream::hijack::Channel;
use crate::stream::socket::Socket;
use crate::version::ApiVersion;

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
    tokio::spawn(connection::serve(Socket::unix(near), None, router(), Closing::new(closing)));
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
    assert!(answer.ends_with("{\"message\":\"page not found\"}\n"), "{answer}");
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
async fn what_nobody_wants_is_read_all_the_same() {
    for size in [1000, 200_000, 3_000_000] {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (_close, closing) = watch::channel(false);
        tokio::spawn(connection::serve(Socket::unix(near), None, router(), Closing::new(closing)));
        let head = format!("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
        far.write_all(head.as_bytes()).await.unwrap();
        far.write_all(&vec![b'x'; size]).await.unwrap();
        // The connection is as good as before.
        far.write_all(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        far.shutdown().await.unwrap();
        let mut answers = String::new();
        far.read_to_string(&mut answers).await.unwrap();
        assert!(answers.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answers}");
        assert!(answers.ends_with("1.51"), "{answers}");
    }
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
    let served =
        tokio::spawn(connection::serve(Socket::unix(near), None, router(), Closing::new(closing)));
    far.write_all(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 8];
    far.read_exact(&mut first).await.unwrap();
    close.send_replace(true);
    timeout(Duration::from_secs(5), served).await.unwrap().unwrap();
}
