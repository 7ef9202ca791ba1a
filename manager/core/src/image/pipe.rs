//! A pipe between two threads: one writes a stream while the other reads it.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::pieces::{DEPTH, Pieces, SendPiece};

/// The end that is written to. What isn't ended by [`PipeWriter::end`] isn't whole.
pub(super) struct PipeWriter(Pieces<SyncSender<Vec<u8>>>);

/// The end that is read from.
pub(super) struct PipeReader {
    from: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    position: usize,
    ended: bool,
}

/// A new pipe.
pub(super) fn pipe() -> (PipeWriter, PipeReader) {
    let (to, from) = sync_channel(DEPTH);
    let reader = PipeReader { from, piece: Vec::new(), position: 0, ended: false };
    (PipeWriter(Pieces::new(to)), reader)
}

impl PipeWriter {
    /// Says that this was all.
    pub(super) fn end(self) -> io::Result<()> {
        self.0.finish()?.send_piece(Vec::new())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.piece.len() && !self.ended {
            self.piece = self.from.recv().map_err(|_| io::ErrorKind::UnexpectedEof)?;
            self.position = 0;
            self.ended = self.piece.is_empty();
        }
        let count = (&self.piece[self.position..]).read(buffer)?;
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_written_is_read() {
        let content: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let (mut writer, mut reader) = pipe();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&content).unwrap();
                writer.end().unwrap();
            });
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == content);
        });
    }

    #[test]
    fn an_end_that_is_gone_is_noticed_by_the_other() {
        let (mut writer, mut reader) = pipe();
        writer.write_all(b"half").unwrap();
        writer.flush().unwrap();
        drop(writer);
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let (writer, reader) = pipe();
        drop(reader);
        assert_eq!(writer.end().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
