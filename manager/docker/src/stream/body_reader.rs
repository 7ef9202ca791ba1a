//! The body of a request as something to read from.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a client may go on sending what nobody wants.
const FAREWELL: Duration = Duration::from_secs(10);

/// Reads a request's body. A body that was cut off is an error, not an end.
///
/// A client that finds its connection closed while it still sends doesn't see the answer, which
/// says why the rest isn't wanted. So when this is dropped, the rest is read all the same.
pub(crate) struct BodyReader {
    pieces: BodyDataStream,
    piece: Bytes,
    /// There is nothing left to be read.
    ended: bool,
}

impl BodyReader {
    /// A reader of `body`.
    pub(crate) fn new(body: Body) -> Self {
        Self { pieces: body.into_data_stream(), piece: Bytes::new(), ended: false }
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
                None => {
                    self.ended = true;
                    return Poll::Ready(Ok(()));
                }
            }
        }
        let length = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece[..length]);
        self.piece.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let nothing = Body::empty().into_data_stream();
        let mut rest = std::mem::replace(&mut self.pieces, nothing);
        if let Ok(runtime) = Handle::try_current() {
            let reading = async move { while let Some(Ok(_)) = rest.next().await {} };
            drop(runtime.spawn(timeout(FAREWELL, reading)));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::sync::mpsc;

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

    #[tokio::test]
    async fn what_nobody_wants_is_read_all_the_same() {
        let (client, mut sent) = mpsc::channel(1);
        let pieces = futures_util::stream::poll_fn(move |context| sent.poll_recv(context));
        drop(BodyReader::new(Body::from_stream(pieces)));
        for _ in 0..100 {
            client.send(Ok::<_, io::Error>("piece")).await.unwrap();
        }
    }
}
