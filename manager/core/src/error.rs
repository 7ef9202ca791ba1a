//! The one error type of the domain: a kind that each API maps to its status codes, and a text for
//! people that says what was asked, what went wrong and what to do.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// What was named does not exist.
    NotFound,
    /// It cannot be done in the state that the thing is in, or the name is taken.
    Conflict,
    /// The request itself is wrong.
    Invalid,
    /// There is nothing to do: it is so already.
    NotModified,
    /// This version does not do what was asked; the text names it.
    Unsupported,
    /// It is not allowed.
    Forbidden,
    /// Who asks did not prove who they are.
    Unauthorized,
    /// Something that is needed is not there now; trying again may help.
    Unavailable,
    /// Disk, addresses, ports or another finite thing is used up.
    Exhausted,
    /// The kernel, the disk or another program failed us.
    System,
}

/// A failure of the domain.
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of whatever the domain does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that reads `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// [`Kind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// [`Kind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// [`Kind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// [`Kind::Unsupported`]: `what` is the option or feature as its user wrote it.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(Kind::Unsupported, format!("{what} is not supported by this version of tared"))
    }

    /// [`Kind::System`].
    pub fn system(message: impl Into<String>) -> Self {
        Self::new(Kind::System, message)
    }

    /// A failed system call or file operation: `doing` says what was tried ("open /x/y").
    /// A full disk or quota is [`Kind::Exhausted`], anything else [`Kind::System`].
    pub fn io(doing: impl fmt::Display, error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::Exhausted,
            _ => Kind::System,
        };
        Self { kind, message: format!("{doing}: {error}"), source: Some(Box::new(error)) }
    }

    /// The same failure, said from one level further out: "`doing`: what it said before".
    #[must_use]
    pub fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The same failure with `source` as its cause, for the logs.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_exhausted_and_the_context_comes_first() {
        let full = std::io::Error::from_raw_os_error(libc::ENOSPC);
        let error = Error::io("write /data/blob", full).while_doing("load the image");
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(error.to_string().starts_with("load the image: write /data/blob: No space left"));
    }
}
