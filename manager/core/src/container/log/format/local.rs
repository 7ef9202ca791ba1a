//! One entry of a `local` log: a protobuf message, with its length before and after it, each in four
//! bytes, the highest first.

use std::fs::File;
use std::io::{BufRead, Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use jiff::Timestamp;
use prost::Message;
use tare_proto::docker::logdriver::LogEntry;

use super::LONGEST;
use crate::container::options::{LogLine, OutputStream};

/// Bytes of a length.
const LENGTH: usize = 4;

/// Reads an entry; `None` if it isn't one.
pub(super) fn parse(entry: &[u8]) -> Option<LogLine> {
    let message = entry.get(LENGTH..entry.len().checked_sub(LENGTH)?)?;
    let entry = LogEntry::decode(message).ok()?;
    let stream = match entry.source.as_str() {
        "stderr" => OutputStream::Stderr,
        _ => OutputStream::Stdout,
    };
    let time = Timestamp::from_nanosecond(i128::from(entry.time_nano)).ok()?;
    let goes_on = match entry.partial_log_metadata {
        Some(piece) => !piece.last,
        None => entry.partial,
    };
    let mut text = entry.line;
    if !goes_on {
        text.push(b'\n');
    }
    let attributes = entry.attrs.into_iter().map(|attr| (attr.key, attr.value)).collect();
    Some(LogLine { stream, time, bytes: Bytes::from(text), attributes })
}

/// Reads on in `entry` to its end; whether it is there.
pub(super) fn read(input: &mut dyn BufRead, entry: &mut Vec<u8>) -> Result<bool> {
    if !fill(input, entry, LENGTH)? {
        return Ok(false);
    }
    let length = length_at(entry, 0)?;
    fill(input, entry, length + 2 * LENGTH)
}

/// How many whole entries there are.
pub(super) fn count(input: &mut dyn BufRead) -> Result<u64> {
    let (mut entries, mut entry) = (0, Vec::new());
    while read(input, &mut entry)? {
        entries += 1;
        entry.clear();
    }
    Ok(entries)
}

/// Where the last `wanted` entries begin, and how many there are: at most `wanted`.
pub(super) fn last(file: &File, wanted: u64) -> Result<(u64, u64)> {
    let (mut start, mut found) = (file.metadata()?.len(), 0);
    while found < wanted && start > 0 {
        let mut length = [0; LENGTH];
        let at = start.checked_sub(LENGTH as u64).ok_or_else(damaged)?;
        file.read_exact_at(&mut length, at)?;
        let whole = length_at(&length, 0)? + 2 * LENGTH;
        start = start.checked_sub(whole as u64).ok_or_else(damaged)?;
        found += 1;
    }
    Ok((start, found))
}

/// Reads on until `entry` has `length` bytes; whether it has.
fn fill(input: &mut dyn BufRead, entry: &mut Vec<u8>, length: usize) -> Result<bool> {
    let missing = length.saturating_sub(entry.len()) as u64;
    input.take(missing).read_to_end(entry)?;
    Ok(entry.len() >= length)
}

fn length_at(bytes: &[u8], at: usize) -> Result<usize> {
    let length = bytes.get(at..at + LENGTH).and_then(|bytes| bytes.try_into().ok());
    let length = length.map(u32::from_be_bytes).ok_or_else(damaged)? as usize;
    if length > LONGEST { Err(damaged()) } else { Ok(length) }
}

fn damaged() -> Error {
    Error::new(ErrorKind::InvalidData, "the log is damaged: an entry has no true length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tare_proto::docker::logdriver::PartialLogEntryMetadata;

    fn entry(entry: &LogEntry) -> Vec<u8> {
        let message = entry.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&length[..], &message, &length].concat()
    }

    fn text(text: &str) -> LogEntry {
        LogEntry { source: "stderr".into(), time_nano: 7, line: text.into(), ..Default::default() }
    }

    #[test]
    fn an_entry_is_read_with_all_it_has() {
        let line = parse(&entry(&text("hi"))).unwrap();
        assert_eq!((line.stream, &line.bytes[..]), (OutputStream::Stderr, &b"hi\n"[..]));
        assert_eq!(line.time.as_nanosecond(), 7);
        let piece = |last| LogEntry {
            partial: true,
            partial_log_metadata: Some(PartialLogEntryMetadata { last, ..Default::default() }),
            ..text("hi")
        };
        assert_eq!(&parse(&entry(&piece(false))).unwrap().bytes[..], b"hi");
        assert_eq!(&parse(&entry(&piece(true))).unwrap().bytes[..], b"hi\n");
        assert!(parse(b"").is_none() && parse(b"\0\0\0\x01\xff\0\0\0\x01").is_none());
    }

    #[test]
    fn entries_are_found_from_both_ends() {
        let all: Vec<u8> = ["one", "two", "three"].iter().flat_map(|t| entry(&text(t))).collect();
        let first = entry(&text("one")).len();
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &all).unwrap();
        assert_eq!(last(&file, 2).unwrap(), (first as u64, 2));
        assert_eq!(last(&file, 9).unwrap(), (0, 3));
        assert_eq!(count(&mut &all[..]).unwrap(), 3);
        let (mut begun, mut rest) = (Vec::new(), &all[..]);
        assert!(!read(&mut &all[..first - 2], &mut begun).unwrap());
        rest = &rest[first - 2..];
        assert!(read(&mut rest, &mut begun).unwrap());
        assert_eq!(&parse(&begun).unwrap().bytes[..], b"one\n");
        assert!(read(&mut &b"\xff\xff\xff\xff"[..], &mut Vec::new()).is_err());
    }
}
