//! What is wrong with a Dockerfile, and in which of its lines.

use std::fmt;

use crate::text::suggest;

/// Lines of a file, the first and the last of them, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lines {
    /// The first line.
    pub first: usize,
    /// The last line, which may be the first.
    pub last: usize,
}

impl Lines {
    /// The lines from `first` to `last`.
    #[must_use]
    pub fn new(first: usize, last: usize) -> Self {
        Self { first, last: last.max(first) }
    }

    /// One line alone.
    #[must_use]
    pub fn one(line: usize) -> Self {
        Self::new(line, line)
    }
}

/// A Dockerfile, or what was asked of it, is not as it must be. The text is `BuildKit`'s wherever it
/// has one, since clients match on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
    lines: Option<Lines>,
}

/// What functions of this crate give.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), lines: None }
    }

    /// Says where it is, unless something closer to the cause has said so already.
    #[must_use]
    pub(crate) fn at(mut self, lines: Lines) -> Self {
        self.lines.get_or_insert(lines);
        self
    }

    /// Says where it is, whatever was said before: what an image triggers has lines of its own that
    /// mean nothing in this file.
    #[must_use]
    pub(crate) fn moved_to(mut self, lines: Lines) -> Self {
        self.lines = Some(lines);
        self
    }

    /// Puts what was being done before what went wrong.
    #[must_use]
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Adds what `wrong` may have been meant to be.
    #[must_use]
    pub(crate) fn suggesting<'a>(
        mut self,
        wrong: &str,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        if let Some(closest) = suggest::closest(wrong, options) {
            self.message = format!("{} (did you mean {closest}?)", self.message);
        }
        self
    }

    /// The lines that it is about, if it is about some.
    #[must_use]
    pub fn lines(&self) -> Option<Lines> {
        self.lines
    }

    /// The text with the name of the file and the line before it: `Dockerfile:3: ...`.
    #[must_use]
    pub fn in_file(&self, file: &str) -> String {
        match self.lines {
            Some(lines) => format!("{file}:{}: {}", lines.first, self.message),
            None => format!("{file}: {}", self.message),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_place_stays_and_a_file_comes_first() {
        let error = Error::new("unterminated heredoc").at(Lines::new(3, 7)).at(Lines::one(1));
        assert_eq!(error.lines(), Some(Lines { first: 3, last: 7 }));
        assert_eq!(error.in_file("Dockerfile"), "Dockerfile:3: unterminated heredoc");
        assert_eq!(
            error.moved_to(Lines::one(9)).during("x").in_file("d"),
            "d:9: x: unterminated heredoc"
        );
    }

    #[test]
    fn what_may_have_been_meant_is_said() {
        let error = Error::new("unknown flag: --chow").suggesting("chow", ["chmod", "chown"]);
        assert_eq!(error.to_string(), "unknown flag: --chow (did you mean chown?)");
    }
}
