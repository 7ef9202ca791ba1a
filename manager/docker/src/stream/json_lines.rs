//! Answers that are a line of JSON now and then: progress and events.

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Serialize;

use crate::error::Error;

/// One message of a long operation's progress.
#[derive(Debug, Default, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    /// Text for people, with its line end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    /// What goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress_detail: Option<ProgressDetail>,
    /// For programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aux: Option<serde_json::Value>,
    /// What it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The failure that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_detail: Option<ErrorDetail>,
    /// The same for old clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// How far an operation is.
#[derive(Debug, Default, Serialize, PartialEq)]
pub(crate) struct ProgressDetail {
    /// Bytes done.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) current: u64,
    /// Bytes in all; 0: unknown.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) total: u64,
}

/// A failure in the middle of an answer.
#[derive(Debug, Serialize, PartialEq)]
pub(crate) struct ErrorDetail {
    message: String,
}

impl Message {
    /// A status without more.
    pub(crate) fn status(text: impl Into<String>) -> Self {
        Self { status: Some(text.into()), ..Self::default() }
    }

    /// Something for programs.
    pub(crate) fn aux(value: serde_json::Value) -> Self {
        Self { aux: Some(value), ..Self::default() }
    }

    /// Text for people.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { stream: Some(text.into()), ..Self::default() }
    }

    /// A failure after the answer has begun.
    pub(crate) fn failure(error: &Error) -> Self {
        let message = error.to_string();
        let error = Some(message.clone());
        Self { error_detail: Some(ErrorDetail { message }), error, ..Self::default() }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How lines end: progress has always had `\r\n`, events only `\n`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LineEnd {
    /// Of progress messages.
    Progress,
    /// Of events.
    Events,
}

/// An answer that sends each value as a line as soon as it is there.
pub(crate) fn response<T: Serialize>(
    values: impl Stream<Item = T> + Send + 'static,
    end: LineEnd,
) -> Response {
    let lines = values.map(move |value| line(&value, end));
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

fn line<T: Serialize>(value: &T, end: LineEnd) -> serde_json::Result<Bytes> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.extend_from_slice(match end {
        LineEnd::Progress => b"\r\n",
        LineEnd::Events => b"\n",
    });
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_only_what_they_say() {
        let text = |message: Message| {
            String::from_utf8(line(&message, LineEnd::Progress).unwrap().to_vec()).unwrap()
        };
        assert_eq!(
            text(Message::text("Loaded image: x:latest\n")),
            "{\"stream\":\"Loaded image: x:latest\\n\"}\r\n"
        );
        assert_eq!(
            text(Message::failure(&Error::invalid("no"))),
            "{\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}\r\n"
        );
    }
}
