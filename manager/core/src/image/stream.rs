//! What a request sends, for a thread that works on disk.

use std::io::{self, Read};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

/// Bytes of one piece.
const PIECE: usize = 256 << 10;
/// Pieces that may wait.
const DEPTH: usize = 8;

/// Reads in a thread what comes from an asynchronous source.
pub(crate) struct Incoming {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    ended: bool,
}

/// Begins to read `source`. An empty piece is its end: if the pieces stop without one, the source
/// was given up, and what came so far must not be taken for all of it.
pub(crate) fn incoming<R: AsyncRead + Send + Unpin + 'static>(mut source: R) -> Incoming {
    let (sender, pieces) = mpsc::channel(DEPTH);
    tokio::spawn(async move {
        loop {
            let mut buffer = BytesMut::with_capacity(PIECE);
            let piece = source.read_buf(&mut buffer).await.map(|_| buffer.freeze());
            let last = piece.as_ref().map_or(true, Bytes::is_empty);
            if sender.send(piece).await.is_err() || last {
                return;
            }
        }
    });
    Incoming { pieces, current: Bytes::new(), ended: false }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            self.current = self.pieces.blocking_recv().ok_or(io::ErrorKind::UnexpectedEof)??;
            self.ended = self.current.is_empty();
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_bytes_come_and_then_the_end() {
        let content: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut reader = incoming(io::Cursor::new(content.clone()));
        let read = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        assert!(read.await.unwrap().unwrap() == content);
    }

    #[tokio::test]
    async fn a_source_that_is_given_up_is_not_whole() {
        let (sender, pieces) = mpsc::channel(1);
        sender.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
        drop(sender);
        let mut reader = Incoming { pieces, current: Bytes::new(), ended: false };
        let read = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
        assert_eq!(read.await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
