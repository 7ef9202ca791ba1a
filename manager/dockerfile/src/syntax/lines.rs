//! A file, line by line.

use std::borrow::Cow;

use crate::error::{Error, Lines, Result};

/// The longest line that there may be.
const LONGEST: usize = 65_535;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) struct Source<'a> {
    rest: &'a [u8],
    /// How many lines have been read: the number of the last of them.
    pub(super) number: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes), number: 0 }
    }

    /// Passes over a first line that names an interpreter.
    pub(super) fn without_shebang(mut self) -> Self {
        if self.rest.starts_with(b"#!") {
            self.take();
        }
        self
    }

    /// The next line, without what ends it.
    pub(super) fn line(&mut self) -> Result<Option<Cow<'a, str>>> {
        let Some(line) = self.take() else { return Ok(None) };
        let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
        let line = &line[..end.map_or(0, |end| end + 1)];
        let text = String::from_utf8_lossy(line);
        // Comments may have been written in any encoding.
        if matches!(text, Cow::Owned(_)) && !is_comment(&text) {
            return Err(self.wrong("it is not in UTF-8"));
        }
        if line.len() > LONGEST {
            let expected = format!("dockerfile line greater than max allowed size of {LONGEST}");
            return Err(self.wrong(expected));
        }
        Ok(Some(text))
    }

    /// The next line of a document, with what ends it.
    pub(super) fn verbatim(&mut self) -> Result<Option<&'a str>> {
        let Some(line) = self.take() else { return Ok(None) };
        std::str::from_utf8(line).map(Some).map_err(|_| self.wrong("it is not in UTF-8"))
    }

    fn take(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = self.rest.split_at(end.map_or(self.rest.len(), |end| end + 1));
        self.rest = rest;
        Some(line)
    }

    fn wrong(&self, message: impl Into<String>) -> Error {
        Error::new(message).at(Lines::one(self.number))
    }
}

pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// What stands before the character that continues a line in the next one, if it does. Two of them
/// are no continuation: the first escapes the second.
pub(super) fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_any_way_and_are_counted() {
        let mut source = Source::new(b"\xef\xbb\xbfa\r\n\nb\n# \xff\n\xff\n");
        assert_eq!(source.line().unwrap().as_deref(), Some("a"));
        assert_eq!(source.line().unwrap().as_deref(), Some(""));
        assert_eq!((source.verbatim().unwrap(), source.number), (Some("b\n"), 3));
        assert_eq!(source.line().unwrap().as_deref(), Some("# \u{fffd}"));
        assert_eq!(source.line().unwrap_err().in_file("f"), "f:5: it is not in UTF-8");
        assert_eq!(source.line().unwrap(), None);
        let long = [b'x'; LONGEST + 1];
        assert!(Source::new(&long).line().is_err());
        assert!(Source::new(&long[1..]).line().is_ok());
    }

    #[test]
    fn an_escape_at_the_end_continues_a_line() {
        for (line, expected) in [
            ("a \\", Some("a ")),
            ("a\\ \t", Some("a")),
            ("\\", Some("")),
            ("a\\\\", None),
            ("a\\b", None),
            ("", None),
        ] {
            assert_eq!(continued(line, '\\'), expected, "{line}");
        }
        assert_eq!(continued("c:\\ `", '`'), Some("c:\\ "));
    }
}
