//! What can go wrong, by kind. The kinds are the ones that containerd's clients tell apart.

use std::fmt::Display;

/// The result of everything here that can fail.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What sort of failure it is; `service` maps each to a gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The task or process that was named isn't there (any more).
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The request itself makes no sense.
    InvalidArgument,
    /// The request makes sense, but not in this state.
    FailedPrecondition,
    /// A feature that this shim doesn't have.
    Unimplemented,
    /// The runtime, the kernel or the disk refused.
    Unknown,
}

/// A failure: its kind, and a sentence for the person who asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    /// The kind, for the gRPC code.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// [`Kind::NotFound`].
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Error { kind: Kind::NotFound, message: message.into() }
    }

    /// [`Kind::AlreadyExists`].
    pub(crate) fn already_exists(message: impl Into<String>) -> Self {
        Error { kind: Kind::AlreadyExists, message: message.into() }
    }

    /// [`Kind::InvalidArgument`].
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Error { kind: Kind::InvalidArgument, message: message.into() }
    }

    /// [`Kind::FailedPrecondition`].
    pub(crate) fn precondition(message: impl Into<String>) -> Self {
        Error { kind: Kind::FailedPrecondition, message: message.into() }
    }

    /// [`Kind::Unimplemented`].
    pub(crate) fn unimplemented(message: impl Into<String>) -> Self {
        Error { kind: Kind::Unimplemented, message: message.into() }
    }

    /// [`Kind::Unknown`].
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Error { kind: Kind::Unknown, message: message.into() }
    }
}

/// Says what was being done when the system refused.
pub(crate) trait Context<T> {
    /// Turns a foreign error into [`Kind::Unknown`], as "`what`: the error".
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::unknown(format!("{}: {error}", what())))
    }
}
