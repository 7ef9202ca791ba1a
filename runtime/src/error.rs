//! The one error type of this program: a kind to decide by, and a text for a person.
//!
//! Texts follow what callers of an OCI runtime match on: lower case, the operation and its object
//! first, the kernel's reason last (`open /x: no such file or directory`).

use std::fmt;

/// What an error means to the program that has to act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The container, or something the request names, is not there.
    NotFound,
    /// The name is taken.
    Exists,
    /// The container's present state does not allow what was asked.
    State,
    /// The request or the bundle is malformed.
    Invalid,
    /// This host, kernel or build cannot do what was asked.
    Unsupported,
    /// The kernel or another program refused.
    System,
}

/// An error of the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Error {
    kind: Kind,
    errno: Option<i32>,
    text: String,
}

/// What every fallible function of this program returns.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that reads `text`.
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Error {
        Error { kind, errno: None, text: text.into() }
    }

    /// The request or the bundle is malformed.
    pub(crate) fn invalid(text: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, text)
    }

    /// This host, kernel or build cannot do what was asked.
    pub(crate) fn unsupported(text: impl Into<String>) -> Error {
        Error::new(Kind::Unsupported, text)
    }

    /// The container's present state does not allow what was asked.
    pub(crate) fn state(text: impl Into<String>) -> Error {
        Error::new(Kind::State, text)
    }

    /// The kernel refused `what`, for the reason that `errno` gives.
    pub(crate) fn system(what: impl fmt::Display, errno: impl Into<std::io::Error>) -> Error {
        let cause = errno.into();
        let text = format!("{what}: {}", describe(&cause));
        Error { kind: Kind::System, errno: cause.raw_os_error(), text }
    }

    /// An error that another process reported, put together again.
    pub(crate) fn remote(kind: Kind, errno: Option<i32>, text: String) -> Error {
        Error { kind, errno, text }
    }

    /// The same error, told from one level further up.
    pub(crate) fn context(mut self, what: impl fmt::Display) -> Error {
        self.text = format!("{what}: {}", self.text);
        self
    }

    /// What the error means to the program.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The kernel's error number, where the kernel was the cause.
    pub(crate) fn errno(&self) -> Option<i32> {
        self.errno
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// Adds what was being done to an error on its way up.
pub(crate) trait Context<T> {
    /// Puts `what()` and a colon before the error's text.
    fn context<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T> Context<T> for Result<T, Error> {
    fn context<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.context(what()))
    }
}

impl<T> Context<T> for Result<T, std::io::Error> {
    fn context<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::system(what(), error))
    }
}

impl<T> Context<T> for Result<T, rustix::io::Errno> {
    fn context<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::system(what(), error))
    }
}

impl<T> Context<T> for Result<T, nix::errno::Errno> {
    fn context<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::system(what(), error))
    }
}

/// The reason in the C library's words, in lower case and without the number.
fn describe(cause: &std::io::Error) -> String {
    let text = cause.to_string();
    let text = match cause.raw_os_error() {
        Some(number) => text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text),
        None => &text,
    };
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn the_text_reads_from_the_outside_in() {
        let refused: Result<(), Errno> = Err(Errno::NOENT);
        let error = refused.context(|| "open /x").context(|| "mount proc").unwrap_err();
        assert_eq!(error.to_string(), "mount proc: open /x: no such file or directory");
        assert_eq!(error.kind(), Kind::System);
        assert_eq!(error.errno(), Some(libc::ENOENT));
    }

    #[test]
    fn reasons_that_callers_match_on_are_lower_case() {
        for (errno, text) in [
            (Errno::ACCESS, "permission denied"),
            (Errno::NOEXEC, "exec format error"),
            (Errno::ISDIR, "is a directory"),
            (Errno::NOTDIR, "not a directory"),
            (Errno::RANGE, "numerical result out of range"),
            (Errno::LOOP, "too many levels of symbolic links"),
            (Errno::AGAIN, "resource temporarily unavailable"),
        ] {
            assert_eq!(Error::system("exec /x", errno).to_string(), format!("exec /x: {text}"));
        }
    }
}
