//! One line of a json-file log: each ends with a newline.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, Read, Result};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use super::LONGEST;
use crate::container::options::{LogLine, OutputStream};

/// Bytes read at once on the way back.
const BLOCK: u64 = 64 << 10;

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

/// Reads on in `entry` to a line's end; whether it is there.
pub(super) fn read(input: &mut dyn BufRead, entry: &mut Vec<u8>) -> Result<bool> {
    let room = (LONGEST.saturating_sub(entry.len()).max(1)) as u64;
    input.take(room).read_until(b'\n', entry)?;
    Ok(entry.ends_with(b"\n") || entry.len() >= LONGEST)
}

/// How many lines there are.
pub(super) fn count(input: &mut dyn BufRead) -> Result<u64> {
    let mut lines = 0;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', buffer).count() as u64;
        let length = buffer.len();
        input.consume(length);
    }
}

/// Where the last `wanted` lines begin, and how many there are: at most `wanted`.
pub(super) fn last(file: &File, wanted: u64) -> Result<(u64, u64)> {
    let mut end = file.metadata()?.len();
    let mut ends_of_lines = 0;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        block.resize(usize::try_from(end - start).unwrap_or_default(), 0);
        file.read_exact_at(&mut block, start)?;
        for offset in memchr::memrchr_iter(b'\n', &block) {
            // The end of the line before the first wanted one.
            if ends_of_lines == wanted {
                return Ok((start + offset as u64 + 1, wanted));
            }
            ends_of_lines += 1;
        }
        end = start;
    }
    Ok((0, ends_of_lines))
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
