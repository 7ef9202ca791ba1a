//! Failed calls of a session's client.

use tare_core::Kind;
use tonic::{Code, Status};

use super::sessions::Session;
use crate::error::Error;

/// A failed call as an error: in the client's words, or that the client has gone.
pub(super) fn failed(session: &Session, status: &Status) -> Error {
    if session.is_lost() {
        return lost(session);
    }
    Error::new(kind(status.code()), status.message())
}

/// The client has gone.
pub(super) fn lost(session: &Session) -> Error {
    Error::new(
        Kind::Unavailable,
        format!("no active session for {}: context canceled", session.id()),
    )
}

fn kind(code: Code) -> Kind {
    match code {
        Code::NotFound => Kind::NotFound,
        Code::InvalidArgument | Code::OutOfRange => Kind::Invalid,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted | Code::Cancelled => {
            Kind::Conflict
        }
        Code::PermissionDenied => Kind::Forbidden,
        Code::Unauthenticated => Kind::Unauthorized,
        Code::Unavailable | Code::DeadlineExceeded => Kind::Unavailable,
        Code::Unimplemented => Kind::Unsupported,
        Code::ResourceExhausted => Kind::Exhausted,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Kind::System,
    }
}
