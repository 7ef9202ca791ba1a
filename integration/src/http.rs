//! The smallest HTTP client on a unix socket, which can also send what no client should.

use std::io::{Read, Result, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::wait::DEADLINE;

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code; 0 if there was no answer at all.
    pub status: u16,
    /// The head, as it was sent.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The `message` of an error's body, or the body if it is no such thing.
    pub fn message(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        json["message"].as_str().unwrap_or(&self.body).to_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}

/// Opens a connection.
///
/// # Errors
/// When nobody listens.
pub fn connect(socket: &Path) -> Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// `GET path`.
///
/// # Errors
/// When nobody listens, or the connection breaks.
pub fn get(socket: &Path, path: &str) -> Result<Answer> {
    exchange(socket, &head("GET", path, ""))
}

/// `DELETE path`.
///
/// # Errors
/// As [`get`].
pub fn delete(socket: &Path, path: &str) -> Result<Answer> {
    exchange(socket, &head("DELETE", path, ""))
}

/// `POST path` with a body of JSON.
///
/// # Errors
/// As [`get`].
pub fn post(socket: &Path, path: &str, body: &str) -> Result<Answer> {
    let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    exchange(socket, &(head("POST", path, &fields) + body))
}

/// A request that has been sent, and not been answered.
#[derive(Debug)]
pub struct Begun(UnixStream);

impl Begun {
    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`get`].
    pub fn answer(self) -> Result<Answer> {
        read_answer(self.0)
    }
}

/// `POST path` without a body, whose answer comes later.
///
/// # Errors
/// As [`get`].
pub fn begin_post(socket: &Path, path: &str) -> Result<Begun> {
    let mut stream = connect(socket)?;
    stream.write_all(head("POST", path, "Content-Length: 0\r\n").as_bytes())?;
    Ok(Begun(stream))
}

/// Any request with a body of any kind. Nothing need come of it for as long as `patience`.
///
/// # Errors
/// As [`get`].
pub fn send(
    socket: &Path,
    method: &str,
    path: &str,
    kind: &str,
    body: &[u8],
    patience: Duration,
) -> Result<Answer> {
    let fields = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    let mut stream = connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(head(method, path, &fields).as_bytes())?;
    stream.write_all(body)?;
    read_answer(stream)
}

/// `POST path` that promises `length` bytes of JSON, sends `body` and says no more.
///
/// # Errors
/// As [`get`].
pub fn post_cut_off(socket: &Path, path: &str, length: usize, body: &[u8]) -> Result<Answer> {
    let fields = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    let mut stream = connect(socket)?;
    stream.write_all(head("POST", path, &fields).as_bytes())?;
    stream.write_all(body)?;
    stream.shutdown(Shutdown::Write)?;
    read_answer(stream)
}

/// Sends these words and reads the answer.
///
/// # Errors
/// As [`get`].
pub fn exchange(socket: &Path, words: &str) -> Result<Answer> {
    let mut stream = connect(socket)?;
    stream.write_all(words.as_bytes())?;
    read_answer(stream)
}

fn head(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n")
}

/// Reads to the end of the connection, which every request above asks the daemon to close.
fn read_answer(mut stream: UnixStream) -> Result<Answer> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { join_chunks(body) } else { body.to_owned() };
    Ok(Answer { status, head: head.to_owned(), body })
}

/// The body that these chunks make.
fn join_chunks(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        let Some(chunk) = rest.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        body.push_str(chunk);
        chunks = rest.get(length + 2..).unwrap_or("");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        assert_eq!(join_chunks("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "abcde");
    }
}
