//! `GET /containers/{id}/logs`: what a container has written, and what it writes.

use std::fmt::Write;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, BytesMut};
use futures_util::StreamExt;
use tare_core::container::{LogLine, LogOptions};

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::stream::frame::{self, Framing};
use crate::stream::hijack::media_type;
use crate::time::{self, rfc3339_fixed};
use crate::version::ApiVersion;

/// Lines that go out together if they are there.
const BATCH: usize = 64;

/// How lines are shown.
#[derive(Debug, Clone, Copy)]
struct Shape {
    framing: Framing,
    timestamps: bool,
    details: bool,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    let options = options(&query)?;
    let container = api.engine.containers.find(&name)?;
    let shape = Shape {
        framing: Framing::of(container.config.tty),
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
    };
    let lines = api.engine.containers.logs(&container.id, options).await?;
    let pieces = lines
        .take_until(api.closing.wait())
        .ready_chunks(BATCH)
        .map(move |lines| Ok::<_, std::convert::Infallible>(shape.write(lines)));
    let media_type = media_type(shape.framing, version);
    Ok(([(header::CONTENT_TYPE, media_type)], Body::from_stream(pieces)).into_response())
}

fn options(query: &Query) -> Result<LogOptions> {
    let options = LogOptions {
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        follow: query.flag("follow"),
        since: time::parameter(query, "since")?,
        until: time::parameter(query, "until")?,
        // What is no number means all, as ever.
        tail: query.text("tail").and_then(|text| text.parse().ok()),
    };
    if options.stdout || options.stderr {
        return Ok(options);
    }
    Err(Error::invalid("Bad parameters: you must choose at least one stream"))
}

impl Shape {
    /// Puts lines together in one piece. A failure is told in the stream, since the answer's head
    /// has gone out.
    fn write(self, lines: Vec<tare_core::Result<LogLine>>) -> bytes::Bytes {
        let mut piece = BytesMut::new();
        for line in lines {
            match line {
                Ok(line) => self.write_line(&mut piece, &line),
                Err(error) => {
                    tracing::error!("reading a log: {error}");
                    let text = format!("Error grabbing logs: {error}\n");
                    if self.framing == Framing::Multiplexed {
                        piece.put_slice(&frame::failure_head(text.len()));
                    }
                    piece.put_slice(text.as_bytes());
                }
            }
        }
        piece.freeze()
    }

    fn write_line(self, piece: &mut BytesMut, line: &LogLine) {
        let mut prefix = String::new();
        if self.timestamps {
            prefix.push_str(&rfc3339_fixed(line.time));
            prefix.push(' ');
        }
        if self.details {
            write_details(&mut prefix, line);
        }
        if self.framing == Framing::Multiplexed {
            piece.put_slice(&frame::head(line.stream, prefix.len() + line.bytes.len()));
        }
        piece.put_slice(prefix.as_bytes());
        piece.put_slice(&line.bytes);
    }
}

/// `name=value,name=value `, with each part escaped as in a query.
fn write_details(prefix: &mut String, line: &LogLine) {
    for (place, (name, value)) in line.attributes.iter().enumerate() {
        if place > 0 {
            prefix.push(',');
        }
        escape(prefix, name);
        prefix.push('=');
        escape(prefix, value);
    }
    prefix.push(' ');
}

fn escape(to: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                to.push(char::from(byte));
            }
            b' ' => to.push('+'),
            // Writing to a string can't fail.
            _ => drop(write!(to, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use jiff::Timestamp;
    use tare_core::container::OutputStream;

    use super::*;
    use crate::query::tests::query;

    fn line(text: &'static str) -> LogLine {
        LogLine {
            stream: OutputStream::Stderr,
            time: Timestamp::new(1_795_325_312, 500).unwrap(),
            bytes: Bytes::from_static(text.as_bytes()),
            attributes: BTreeMap::from([("a b".to_owned(), "x=é".to_owned())]),
        }
    }

    #[test]
    fn lines_are_framed_with_their_prefixes() {
        let shape = Shape { framing: Framing::Multiplexed, timestamps: true, details: true };
        let piece = shape.write(vec![Ok(line("hi\n"))]);
        let text = "2026-11-22T05:28:32.000000500Z a+b=x%3D%C3%A9 hi\n";
        assert_eq!(piece[..8], [2, 0, 0, 0, 0, 0, 0, u8::try_from(text.len()).unwrap()]);
        assert_eq!(&piece[8..], text.as_bytes());
        let shape = Shape { framing: Framing::Raw, timestamps: false, details: false };
        assert_eq!(shape.write(vec![Ok(line("a\n")), Ok(line("b"))]), "a\nb".as_bytes());
    }

    #[test]
    fn options_are_dockers() {
        let options = options(&query("stdout=1&tail=all&since=1.5")).unwrap();
        assert_eq!(options.tail, None);
        assert_eq!(options.since, Some(Timestamp::new(1, 500_000_000).unwrap()));
        assert_eq!(super::options(&query("stderr=1&tail=0")).unwrap().tail, Some(0));
        assert!(super::options(&query("follow=1")).unwrap_err().to_string().contains("one stream"));
    }
}
