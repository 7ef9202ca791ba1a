//! What a request that fails is answered with: a status and `{"message": …}`.

use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tare_core::Kind;

/// The result of an endpoint.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed request.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    message: String,
    plain: bool,
}

/// The body of a failed request.
#[derive(Serialize)]
struct ErrorBody<'a> {
    message: &'a str,
}

impl Error {
    /// The request itself is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is no such endpoint.
    pub(crate) fn page_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "page not found")
    }

    /// `what` exists in docker but not here: a feature in words, or a field as its user wrote it.
    pub(crate) fn unsupported(what: impl fmt::Display) -> Self {
        tare_core::Error::unsupported(what).into()
    }

    /// The client is so old that it shows the body as it is.
    pub(crate) fn client_too_old(message: impl Into<String>) -> Self {
        Self { plain: true, ..Self::invalid(message) }
    }

    /// A failure with this very status.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), plain: false }
    }

    /// The same, said from one level further out: "`doing`: what it said before".
    pub(crate) fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

/// The one table from the domain's kinds of errors to HTTP.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotModified => StatusCode::NOT_MODIFIED,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Exhausted | Kind::System => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<tare_core::Error> for Error {
    fn from(error: tare_core::Error) -> Self {
        Self::new(status(error.kind()), error.to_string())
    }
}

impl From<tare_build::Error> for Error {
    fn from(error: tare_build::Error) -> Self {
        Self::new(status(error.kind), error.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status.as_u16();
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(status, "{}", self.message);
        } else {
            tracing::debug!(status, "{}", self.message);
        }
        match (self.status, self.plain) {
            (StatusCode::NOT_MODIFIED, _) => self.status.into_response(),
            (status, true) => (status, self.message).into_response(),
            (status, false) => (status, Json(ErrorBody { message: &self.message })).into_response(),
        }
    }
}
