//! Cuts a stream of bytes into lines; long ones into pieces of 16 KiB, as docker does.

use std::time::SystemTime;

/// The longest piece of a line.
const PIECE: usize = 16 << 10;

/// A line, or a piece of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Its bytes, without a newline.
    pub(crate) text: &'a [u8],
    /// Whether the line goes on in the next piece (or the stream ended within it).
    pub(crate) partial: bool,
    /// Which piece of a line it is, from 1 on; 0 for a line that is whole.
    pub(crate) piece: u32,
    /// When it was read; all pieces of one line bear the first one's time.
    pub(crate) time: SystemTime,
}

/// The splitter of one stream.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The start of a line whose end hasn't come.
    pending: Vec<u8>,
    /// The time of the first piece and how many there were, while in the middle of a line.
    pieces: Option<(SystemTime, u32)>,
}

impl Lines {
    /// Emits the lines that `data`, read `now`, completes.
    pub(crate) fn split(
        &mut self,
        mut data: &[u8],
        now: SystemTime,
        mut emit: impl FnMut(Line<'_>),
    ) {
        while !data.is_empty() {
            let room = PIECE - self.pending.len();
            let window = data.get(..room).unwrap_or(data);
            let (text, partial, used) = match memchr::memchr(b'\n', window) {
                Some(end) => (window.get(..end).unwrap_or_default(), false, end + 1),
                None if window.len() == room => (window, true, room),
                None => {
                    self.pending.extend_from_slice(window);
                    return;
                }
            };
            let (time, before) = self.pieces.unwrap_or((now, 0));
            let piece = if partial || before > 0 { before + 1 } else { 0 };
            if self.pending.is_empty() {
                emit(Line { text, partial, piece, time });
            } else {
                self.pending.extend_from_slice(text);
                emit(Line { text: &self.pending, partial, piece, time });
                self.pending = Vec::new();
            }
            self.pieces = partial.then_some((time, piece));
            data = data.get(used..).unwrap_or_default();
        }
    }

    /// Emits what is left at the end of the stream.
    pub(crate) fn finish(&mut self, now: SystemTime, mut emit: impl FnMut(Line<'_>)) {
        let text = std::mem::take(&mut self.pending);
        if !text.is_empty() {
            let (time, before) = self.pieces.take().unwrap_or((now, 0));
            emit(Line { text: &text, partial: true, piece: before + 1, time });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// Splits `chunks`, one read each second, into text, whether it goes on, which piece it is, and the
    /// second.
    fn split(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool, u32, u64)> {
        let mut out = Vec::new();
        let mut emit = |line: Line<'_>| {
            let second = line.time.duration_since(UNIX_EPOCH).unwrap().as_secs();
            out.push((line.text.to_vec(), line.partial, line.piece, second));
        };
        let mut lines = Lines::default();
        let mut now = UNIX_EPOCH;
        for chunk in chunks {
            now += Duration::from_secs(1);
            lines.split(chunk, now, &mut emit);
        }
        lines.finish(now + Duration::from_secs(1), &mut emit);
        out
    }

    #[test]
    fn joins_what_reads_cut_apart() {
        let lines = split(&[b"one\ntw", b"o\n\nend"]);
        let expected: Vec<(Vec<u8>, bool, u32, u64)> = vec![
            (b"one".to_vec(), false, 0, 1),
            (b"two".to_vec(), false, 0, 2),
            (b"".to_vec(), false, 0, 2),
            (b"end".to_vec(), true, 1, 3),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn cuts_long_lines_and_keeps_their_time() {
        let long = vec![b'a'; 2 * PIECE + 5];
        let lines = split(&[&long[..PIECE + 100], &long[PIECE + 100..], b"\n", b"next\n"]);
        let shape =
            lines.iter().map(|(text, partial, piece, time)| (text.len(), *partial, *piece, *time));
        let shape: Vec<_> = shape.collect();
        let expected =
            [(PIECE, true, 1, 1), (PIECE, true, 2, 1), (5, false, 3, 1), (4, false, 0, 4)];
        assert_eq!(shape, expected);
    }

    #[test]
    fn a_line_of_exactly_one_piece_has_an_empty_last_piece() {
        let lines = split(&[&[b'a'; PIECE], b"\n"]);
        assert!(lines[0].1);
        assert_eq!(lines[1], (Vec::new(), false, 2, 1));
    }
}
