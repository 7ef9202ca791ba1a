//! An archive that a thread writes while a client reads it.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// Bytes of one piece.
const PIECE: usize = 256 << 10;
/// Pieces that may wait.
const DEPTH: usize = 8;

/// An archive that is being written. Dropped, the writing ends.
pub struct Archived {
    pieces: mpsc::Receiver<Bytes>,
    work: Option<JoinHandle<Result<()>>>,
}

/// What the thread writes to.
pub(crate) struct Pieces {
    to: mpsc::Sender<Bytes>,
    piece: BytesMut,
}

/// Begins to write an archive in a thread of its own.
pub(crate) fn archived(work: impl FnOnce(&mut Pieces) -> Result<()> + Send + 'static) -> Archived {
    let (to, pieces) = mpsc::channel(DEPTH);
    let work = tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { to, piece: BytesMut::with_capacity(PIECE) };
        work(&mut pieces)?;
        pieces.flush().map_err(|error| Error::io("send the archive", error))
    });
    Archived { pieces, work: Some(work) }
}

impl Archived {
    /// The next piece; none at the end.
    ///
    /// # Errors
    /// Why the archive could not be written to its end: what came so far isn't one.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(piece) = self.pieces.recv().await {
            return Ok(Some(piece));
        }
        if let Some(work) = self.work.take() {
            work.await
                .map_err(|error| Error::system("an archive's task died").caused_by(error))??;
        }
        Ok(None)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE)).freeze();
        self.to.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_pieces_come_and_then_what_went_wrong() {
        let content: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
        let expected = content.clone();
        let mut archive = archived(move |to| {
            to.write_all(&content).map_err(|error| Error::io("write", error))?;
            to.flush().map_err(|error| Error::io("write", error))?;
            Err(Error::invalid("half"))
        });
        let mut read = Vec::new();
        let error = loop {
            match archive.next().await {
                Ok(Some(piece)) => read.extend_from_slice(&piece),
                Ok(None) => panic!("it has not failed"),
                Err(error) => break error,
            }
        };
        assert!(read == expected);
        assert_eq!(error.to_string(), "half");
    }
}
