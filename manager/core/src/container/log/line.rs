//! One line of a json-file log.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use super::super::options::{LogLine, OutputStream};

/// `{"log":"text\n","stream":"stdout","attrs":{},"time":"2024-01-02T03:04:05.678Z"}`
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// Reads a line; `None` if it isn't one, as after a crash of the machine.
pub(super) fn parse(line: &[u8]) -> Option<LogLine> {
    let entry: Entry<'_> = serde_json::from_slice(line).ok()?;
    let time: Timestamp = entry.time.parse().ok()?;
    let stream = match entry.stream.as_ref() {
        "stderr" => OutputStream::Stderr,
        _ => OutputStream::Stdout,
    };
    let bytes = Bytes::from(entry.log.into_owned().into_bytes());
    Some(LogLine { stream, time, bytes, attributes: entry.attrs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_all_it_has() {
        let line = br#"{"log":"a\"b\u00e4\n","stream":"stderr","attrs":{"k":"v"},"time":"2024-01-02T03:04:05.000000006Z"}"#;
        let line = parse(line).unwrap();
        assert_eq!(line.bytes, "a\"bä\n".as_bytes());
        assert_eq!(line.stream, OutputStream::Stderr);
        assert_eq!(line.attributes["k"], "v");
        assert_eq!(line.time.subsec_nanosecond(), 6);
    }

    #[test]
    fn what_is_no_line_is_none() {
        for text in [&b""[..], b"{\"log\":\"x", b"{}", b"\0\0\0", b"[]"] {
            assert!(parse(text).is_none());
        }
    }
}
