//! Which pieces belong to one line, for drivers that say so.

use std::time::UNIX_EPOCH;

use super::lines::Line;
use crate::io::hub::Channel;

/// What is told of one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The same for all pieces of one line, and for no others of this log.
    pub(super) id: String,
    /// Its place in the line, from 1 on.
    pub(super) ordinal: u32,
    /// Whether it ends the line.
    pub(super) last: bool,
}

/// Gives lines that are cut into pieces their ids.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    lines: u64,
    stdout: u64,
    stderr: u64,
}

impl Pieces {
    /// What is to be told of `line`; `None` for one that is whole.
    pub(super) fn of(&mut self, channel: Channel, line: &Line<'_>) -> Option<Piece> {
        if line.piece == 0 {
            return None;
        }
        let current = match channel {
            Channel::Stdout => &mut self.stdout,
            Channel::Stderr => &mut self.stderr,
        };
        if line.piece == 1 {
            self.lines += 1;
            *current = self.lines;
        }
        let since = line.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("{:032x}{current:032x}", since.as_nanos());
        Some(Piece { id, ordinal: line.piece, last: !line.partial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn pieces_of_a_line_have_its_id_whatever_comes_between_them() {
        let mut pieces = Pieces::default();
        let time = UNIX_EPOCH + Duration::from_secs(1);
        let piece = |piece, partial| Line { text: b"x", partial, piece, time };
        assert_eq!(pieces.of(Channel::Stdout, &piece(0, false)), None);
        let first = pieces.of(Channel::Stdout, &piece(1, true)).unwrap();
        let other = pieces.of(Channel::Stderr, &piece(1, true)).unwrap();
        let last = pieces.of(Channel::Stdout, &piece(2, false)).unwrap();
        assert_eq!((first.ordinal, first.last), (1, false));
        assert_eq!((last.ordinal, last.last), (2, true));
        assert_eq!(first.id, last.id);
        assert_ne!(first.id, other.id);
    }
}
