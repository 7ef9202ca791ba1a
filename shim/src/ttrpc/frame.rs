//! ttrpc's messages on the wire: a header of ten bytes, then a protobuf message.

use std::io;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest message, as ttrpc has it.
const MAX_PAYLOAD: u32 = 4 << 20;
const HEADER_LENGTH: usize = 10;

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// What says in a request that no more of it follows.
const COMPLETE: u8 = 1;

/// What ttrpc calls a Request.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    /// The service's full name.
    #[prost(string, tag = "1")]
    pub(super) service: String,
    /// The method's name.
    #[prost(string, tag = "2")]
    pub(super) method: String,
    /// The encoded argument.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) payload: Vec<u8>,
}

/// What ttrpc calls a Response.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    /// How it went.
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<RpcStatus>,
    /// The encoded result.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) payload: Vec<u8>,
}

/// google.rpc.Status, as far as it is used.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    /// gRPC's code.
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    /// The text.
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

/// What an answer must repeat of its question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    stream: u32,
}

impl Header {
    /// Of a client's first question; its streams have odd numbers.
    pub(super) const FIRST: Header = Header { stream: 1 };
}

/// A message as it came.
#[derive(Debug)]
pub(super) struct Frame {
    /// Its header.
    pub(super) header: Header,
    /// The encoded [`Request`] or [`Response`].
    pub(super) payload: Vec<u8>,
}

/// Reads the next request; `None` at the end of the connection.
pub(super) async fn read(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    read_kind(reader, REQUEST).await
}

/// Reads the answer to a request.
pub(super) async fn read_response(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    read_kind(reader, RESPONSE).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

async fn read_kind(
    reader: &mut (impl AsyncRead + Unpin),
    expected: u8,
) -> io::Result<Option<Frame>> {
    let mut header = [0; HEADER_LENGTH];
    match reader.read_exact(&mut header).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let [l0, l1, l2, l3, s0, s1, s2, s3, kind, _flags] = header;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    if length > MAX_PAYLOAD || kind != expected {
        let message = format!("a message of type {kind} and {length} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut payload = vec![0; length as usize];
    reader.read_exact(&mut payload).await?;
    Ok(Some(Frame { header: Header { stream: u32::from_be_bytes([s0, s1, s2, s3]) }, payload }))
}

/// The bytes of a question.
pub(super) fn request(header: Header, payload: &[u8]) -> Vec<u8> {
    message(header, [REQUEST, COMPLETE], payload)
}

/// The bytes of an answer.
pub(super) fn response(header: Header, payload: &[u8]) -> Vec<u8> {
    message(header, [RESPONSE, 0], payload)
}

fn message(header: Header, kind: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_LENGTH + payload.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&header.stream.to_be_bytes());
    bytes.extend_from_slice(&kind);
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_repeats_the_stream_of_its_question() {
        let wire = [0, 0, 0, 3, 0, 0, 1, 5, REQUEST, 0, b'a', b'b', b'c'];
        let frame = read(&mut wire.as_slice()).await.unwrap().unwrap();
        assert_eq!(frame.payload, b"abc");
        let answer = response(frame.header, b"xy");
        assert_eq!(answer, [0, 0, 0, 2, 0, 0, 1, 5, RESPONSE, 0, b'x', b'y']);
    }

    #[tokio::test]
    async fn nonsense_ends_the_connection() {
        assert!(read(&mut [].as_slice()).await.unwrap().is_none());
        let huge = [0, 0x50, 0, 0, 0, 0, 0, 1, REQUEST, 0];
        assert!(read(&mut huge.as_slice()).await.is_err());
        let no_request = [0, 0, 0, 0, 0, 0, 0, 1, 9, 0];
        assert!(read(&mut no_request.as_slice()).await.is_err());
        let cut_off = [0, 0, 0, 9, 0, 0, 0, 1, REQUEST, 0, b'a'];
        assert!(read(&mut cut_off.as_slice()).await.is_err());
    }
}
