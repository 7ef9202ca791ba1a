//! ttrpc's messages on the wire: a header of ten bytes, then a protobuf message.

use std::io;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt};
use tonic::{Code, Status};

/// The longest message, as ttrpc has it.
const MAX_PAYLOAD: u32 = 4 << 20;
const HEADER_LENGTH: usize = 10;

/// What says in a request that no more of it follows.
const COMPLETE: u8 = 1;

/// What ttrpc calls a Request.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// The service's full name.
    #[prost(string, tag = "1")]
    pub service: String,
    /// The method's name.
    #[prost(string, tag = "2")]
    pub method: String,
    /// The encoded argument.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
}

/// What ttrpc calls a Response.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// How it went.
    #[prost(message, optional, tag = "1")]
    pub status: Option<RpcStatus>,
    /// The encoded result.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// google.rpc.Status, as far as it is used.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    /// gRPC's code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// The text.
    #[prost(string, tag = "2")]
    pub message: String,
}

impl From<&Status> for RpcStatus {
    /// A failure that says it is none is one of unknown kind.
    fn from(status: &Status) -> Self {
        let code = if status.code() == Code::Ok { Code::Unknown } else { status.code() };
        RpcStatus { code: code.into(), message: status.message().to_owned() }
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An encoded [`Request`].
    Request = 1,
    /// An encoded [`Response`], the last of its call.
    Response = 2,
    /// One of many answers, as it is.
    Data = 3,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Request, Self::Response, Self::Data].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What an answer must repeat of its question.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    stream: u32,
}

impl Header {
    /// Of a client's first question; its streams have odd numbers.
    pub const FIRST: Header = Header { stream: 1 };

    /// The bytes of a message of this stream.
    pub fn message(self, kind: Kind, message: &impl Message) -> Vec<u8> {
        let length = message.encoded_len();
        let mut bytes = Vec::with_capacity(HEADER_LENGTH + length);
        bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&[kind as u8, if kind == Kind::Request { COMPLETE } else { 0 }]);
        message.encode_raw(&mut bytes);
        bytes
    }
}

/// A message as it came.
#[derive(Debug)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    /// What it is.
    pub kind: Kind,
    /// The encoded message.
    pub payload: Vec<u8>,
}

/// The messages that come from a stream.
#[derive(Debug)]
pub struct Frames<R> {
    reader: R,
    /// What has come of the next.
    begun: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Of this stream.
    pub fn new(reader: R) -> Self {
        Self { reader, begun: Vec::new() }
    }

    /// The stream.
    pub fn stream(&mut self) -> &mut R {
        &mut self.reader
    }

    /// The next; `None` at the end of the stream. A caller that stops waiting loses nothing.
    ///
    /// # Errors
    /// The stream fails, ends within a message, or has something else in it.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            if self.reader.read_buf(&mut self.begun).await? == 0 {
                let whole = self.begun.is_empty();
                return if whole { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The first of what has come, if all of it has.
    fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some((header, rest)) = self.begun.split_first_chunk::<HEADER_LENGTH>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, s0, s1, s2, s3, kind, _flags] = *header;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let (Some(kind), 0..=MAX_PAYLOAD) = (Kind::of(kind), length) else {
            let message = format!("a message of type {kind} and {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        };
        let Some(payload) = rest.get(..length as usize) else { return Ok(None) };
        let header = Header { stream: u32::from_be_bytes([s0, s1, s2, s3]) };
        let frame = Frame { header, kind, payload: payload.to_vec() };
        // Who waits for the next one may wait for long, and keeps no memory for it.
        self.begun = self.begun.split_off(HEADER_LENGTH + length as usize);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: u8 = Kind::Request as u8;

    #[tokio::test]
    async fn an_answer_repeats_the_stream_of_its_question() {
        let wire = [0, 0, 0, 3, 0, 0, 1, 5, REQUEST, 0, b'a', b'b', b'c'];
        let frame = Frames::new(wire.as_slice()).next().await.unwrap().unwrap();
        assert_eq!((frame.kind, frame.payload.as_slice()), (Kind::Request, b"abc".as_slice()));
        let answer = Response { status: None, payload: b"xy".to_vec() };
        let answer = frame.header.message(Kind::Response, &answer);
        assert_eq!(answer, [0, 0, 0, 4, 0, 0, 1, 5, 2, 0, 2 << 3 | 2, 2, b'x', b'y']);
    }

    #[tokio::test]
    async fn messages_come_in_pieces_and_together() {
        let one = Header::FIRST.message(Kind::Data, &RpcStatus { code: 7, ..Default::default() });
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut frames = Frames::new(ours);
        let (first, second) = one.split_at(5);
        tokio::io::AsyncWriteExt::write_all(&mut theirs, first).await.unwrap();
        // It has not come whole; who gives up waiting loses nothing of it.
        let waited = std::future::poll_fn(|context| {
            let mut next = std::pin::pin!(frames.next());
            std::task::Poll::Ready(next.as_mut().poll(context).is_pending())
        });
        assert!(waited.await);
        let rest = [second, &one].concat();
        tokio::io::AsyncWriteExt::write_all(&mut theirs, &rest).await.unwrap();
        drop(theirs);
        for _ in 0..2 {
            let frame = frames.next().await.unwrap().unwrap();
            assert_eq!(RpcStatus::decode(frame.payload.as_slice()).unwrap().code, 7);
        }
        assert!(frames.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn nonsense_ends_the_connection() {
        let read = async |bytes: &[u8]| Frames::new(bytes).next().await;
        assert!(read(&[]).await.unwrap().is_none());
        assert!(read(&[0, 0x50, 0, 0, 0, 0, 0, 1, REQUEST, 0]).await.is_err());
        assert!(read(&[0, 0, 0, 0, 0, 0, 0, 1, 9, 0]).await.is_err());
        assert!(read(&[0, 0, 0, 9, 0, 0, 0, 1, REQUEST, 0, b'a']).await.is_err());
        assert!(read(&[0, 0, 0]).await.is_err());
    }
}
