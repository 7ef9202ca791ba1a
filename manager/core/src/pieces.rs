//! Cuts a stream into pieces while it is written, and sends them to whoever reads at the same time.

use std::io::{self, Write};
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use tokio::sync::mpsc;

/// Bytes of one piece.
const PIECE: usize = 256 << 10;
/// Pieces that may wait for the reader.
pub(crate) const DEPTH: usize = 8;

/// The end that is written to. Blocks while too many pieces wait.
pub(crate) struct Pieces<T> {
    to: T,
    piece: Vec<u8>,
}

/// A way for pieces to the other end.
pub(crate) trait SendPiece {
    /// Sends a piece; fails if the other end has gone.
    fn send_piece(&self, piece: Vec<u8>) -> io::Result<()>;
}

impl<T: SendPiece> Pieces<T> {
    /// Sends what is written by `to`.
    pub(crate) fn new(to: T) -> Self {
        Self { to, piece: Vec::with_capacity(PIECE) }
    }

    /// The way itself, when all that was written has been sent.
    pub(crate) fn finish(mut self) -> io::Result<T> {
        self.flush()?;
        Ok(self.to)
    }
}

impl<T: SendPiece> Write for Pieces<T> {
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
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.to.send_piece(piece)
    }
}

/// To another thread.
impl SendPiece for SyncSender<Vec<u8>> {
    fn send_piece(&self, piece: Vec<u8>) -> io::Result<()> {
        self.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// To a task.
impl SendPiece for mpsc::Sender<Bytes> {
    fn send_piece(&self, piece: Vec<u8>) -> io::Result<()> {
        self.blocking_send(piece.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
