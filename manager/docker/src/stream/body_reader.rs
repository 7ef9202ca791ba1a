//! The body of a request as something to read from.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, BodyDataStream};
use bytes::{Buf, Bytes};
use futures_util::Stream;
use tokio::io::{AsyncRead, ReadBuf};

/// Reads a request's body. A body that was cut off is an error, not an end.
pub(crate) struct BodyReader {
    pieces: BodyDataStream,
    piece: Bytes,
}

impl BodyReader {
    /// A reader of `body`.
    pub(crate) fn new(body: Body) -> Self {
        Self { pieces: body.into_data_stream(), piece: Bytes::new() }
    }
}

impl AsyncRead for BodyReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(Pin::new(&mut self.pieces).poll_next(context)) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => {
                    let text = format!("the request body was cut off: {error}");
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece[..length]);
        self.piece.advance(length);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_body_that_is_cut_off_is_an_error() {
        let whole = futures_util::stream::iter(["ab", "", "c"].map(Ok::<_, io::Error>));
        let mut text = String::new();
        let mut reader = BodyReader::new(Body::from_stream(whole));
        reader.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "abc");

        let cut = futures_util::stream::iter([Ok("ab"), Err(io::Error::other("gone"))]);
        let mut reader = BodyReader::new(Body::from_stream(cut));
        let error = reader.read_to_string(&mut text).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
