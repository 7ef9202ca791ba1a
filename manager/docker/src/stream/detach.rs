//! The keys that end an attachment to a terminal and leave the program running.

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};

/// A sequence of keys, and how much of it has been typed.
#[derive(Debug)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    typed: usize,
}

/// What a piece of input comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// What goes on to the program.
    pub(crate) input: Bytes,
    /// The keys were typed.
    pub(crate) detached: bool,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q` or `a,DEL`; none: docker's default, ctrl-p ctrl-q.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self> {
        let wrong = |key| Error::invalid(format!("Invalid detach keys ({key}) provided"));
        let keys = text.unwrap_or("ctrl-p,ctrl-q").split(',');
        let keys = keys.map(|key| code(key).ok_or_else(|| wrong(key))).collect::<Result<_>>()?;
        Ok(Self { keys, typed: 0 })
    }

    /// Takes a piece of input. What may be the beginning of the keys is held back until it is
    /// known whether it is.
    pub(crate) fn pass(&mut self, input: Bytes) -> Typed {
        if self.typed == 0 && !self.keys.first().is_some_and(|first| input.contains(first)) {
            return Typed { input, detached: false };
        }
        let mut passed = BytesMut::with_capacity(input.len() + self.typed);
        for byte in input {
            if self.keys.get(self.typed) == Some(&byte) {
                self.typed += 1;
            } else {
                passed.extend(self.keys.iter().take(self.typed));
                // The key that broke the sequence may begin it anew.
                self.typed = usize::from(self.keys.first() == Some(&byte));
                if self.typed == 0 {
                    passed.extend([byte]);
                }
            }
            if self.typed == self.keys.len() {
                return Typed { input: passed.freeze(), detached: true };
            }
        }
        Typed { input: passed.freeze(), detached: false }
    }
}

/// The byte of a key: one character, `ctrl-` and one of `@A-Z[\]^_`, or `DEL`.
fn code(key: &str) -> Option<u8> {
    if let [byte] = key.as_bytes() {
        return Some(*byte);
    }
    match (key, key.strip_prefix("ctrl-").map(str::as_bytes)) {
        ("DEL", _) => Some(127),
        (_, Some([letter @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')])) => {
            Some(letter.to_ascii_uppercase() - b'@')
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(keys: &mut DetachKeys, input: &'static [u8]) -> (Vec<u8>, bool) {
        let typed = keys.pass(Bytes::from_static(input));
        (typed.input.to_vec(), typed.detached)
    }

    #[test]
    fn the_default_is_ctrl_p_ctrl_q() {
        let keys = DetachKeys::parse(None).unwrap();
        assert_eq!(keys.keys, [16, 17]);
        let keys = DetachKeys::parse(Some("a,ctrl-@,ctrl-_,DEL")).unwrap();
        assert_eq!(keys.keys, [b'a', 0, 31, 127]);
        let error = DetachKeys::parse(Some("ctrl-ä")).unwrap_err().to_string();
        assert_eq!(error, "Invalid detach keys (ctrl-ä) provided");
    }

    #[test]
    fn keys_detach_in_one_piece_or_several() {
        let mut keys = DetachKeys::parse(None).unwrap();
        assert_eq!(pass(&mut keys, b"ls\n"), (b"ls\n".to_vec(), false));
        assert_eq!(pass(&mut keys, b"x\x10"), (b"x".to_vec(), false));
        assert_eq!(pass(&mut keys, b"\x11y"), (Vec::new(), true));
        let mut keys = DetachKeys::parse(None).unwrap();
        assert_eq!(pass(&mut keys, b"ab\x10\x11"), (b"ab".to_vec(), true));
    }

    #[test]
    fn what_only_looked_like_the_keys_goes_through() {
        let mut keys = DetachKeys::parse(None).unwrap();
        assert_eq!(pass(&mut keys, b"\x10"), (Vec::new(), false));
        assert_eq!(pass(&mut keys, b"a"), (b"\x10a".to_vec(), false));
        assert_eq!(pass(&mut keys, b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(pass(&mut keys, b"\x11"), (Vec::new(), true));
    }
}
