//! Answers that are a line of JSON now and then: progress and events.

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

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
    #[serde(flatten)]
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

/// How far an operation is: `progressDetail` for programs, and `progress` for those that only show
/// it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ProgressDetail {
    /// Bytes done.
    pub(crate) current: u64,
    /// Bytes in all; 0: unknown.
    pub(crate) total: u64,
}

impl Serialize for ProgressDetail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Numbers {
            #[serde(skip_serializing_if = "is_zero")]
            current: u64,
            #[serde(skip_serializing_if = "is_zero")]
            total: u64,
        }
        let Self { current, total } = *self;
        let mut both = serializer.serialize_struct("Progress", 2)?;
        both.serialize_field("progressDetail", &Numbers { current, total })?;
        match bar(current, total) {
            Some(bar) => both.serialize_field("progress", &bar)?,
            None => both.skip_field("progress")?,
        }
        both.end()
    }
}

/// The bar that docker draws, and the numbers beside it.
fn bar(current: u64, total: u64) -> Option<String> {
    if total == 0 {
        return (current > 0).then(|| format!("{:>8}", size(current)));
    }
    let done = usize::try_from(u128::from(current) * 50 / u128::from(total)).unwrap_or(50).min(50);
    let numbers = if current > total {
        format!("{:>8}", size(current))
    } else {
        format!("{:>8}/{}", size(current), size(total))
    };
    Some(format!("[{}>{}] {numbers}", "=".repeat(done), " ".repeat(50 - done)))
}

/// Bytes as docker writes them: four digits of the largest unit that leaves one before the point.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1000.0
        && let Some(larger) = units.next()
    {
        value /= 1000.0;
        unit = larger;
    }
    let digits = match value {
        value if value >= 1000.0 => 0,
        value if value >= 100.0 => 1,
        value if value >= 10.0 => 2,
        _ => 3,
    };
    let number = format!("{value:.digits$}");
    let number = match number.split_once('.') {
        Some(_) => number.trim_end_matches('0').trim_end_matches('.'),
        None => &number,
    };
    format!("{number}{unit}")
}

/// A failure in the middle of an answer.
#[derive(Debug, Serialize, PartialEq)]
pub(crate) struct ErrorDetail {
    /// The exit code of the command that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
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
        Self::failure_with(error, None)
    }

    /// The same of a command that ended with this exit code.
    pub(crate) fn failure_with(error: &Error, code: Option<i32>) -> Self {
        let message = error.to_string();
        let error = Some(message.clone());
        Self { error_detail: Some(ErrorDetail { code, message }), error, ..Self::default() }
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
    fn progress_is_drawn_as_docker_draws_it() {
        let drawn = |current, total| bar(current, total).unwrap_or_default();
        let half = format!("[{}>{}]   1.05MB/2.1MB", "=".repeat(25), " ".repeat(25));
        assert_eq!(drawn(1_050_000, 2_100_000), half);
        let whole = format!("[{}>]     512B/512B", "=".repeat(50));
        assert_eq!(drawn(512, 512), whole);
        assert_eq!(drawn(1_024, 0), " 1.024kB");
        assert_eq!(drawn(0, 0), "");
        assert!(drawn(9, 5).ends_with(">]       9B"));
        for (bytes, shown) in
            [(0, "0B"), (999, "999B"), (12_345, "12.35kB"), (100_000_000, "100MB")]
        {
            assert_eq!(size(bytes), shown);
        }
    }

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
