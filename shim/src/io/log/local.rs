//! docker's `local` format: for each line a protobuf message, with its length before and after it,
//! each in four bytes, the highest first.

use prost::Message;
use tare_proto::docker::logdriver::{LogAttr, LogEntry, PartialLogEntryMetadata};
use tare_proto::tare::shim::v1::Log as LogConfig;

use super::driver::Driver;
use super::file::LogFile;
use super::lines::Line;
use super::options::Limits;
use super::piece::Pieces;
use crate::error::Result;
use crate::io::hub::Channel;

/// The writer of one log.
pub(super) struct Local {
    file: LogFile,
    attributes: Vec<LogAttr>,
    pieces: Pieces,
}

impl Local {
    /// Opens the file to append to it.
    pub(super) fn open(config: &LogConfig) -> Result<Self> {
        Self::with_limits(config, &Limits::local(&config.options)?)
    }

    /// Opens the file that keeps what another driver sends away, so that it can be read here.
    pub(super) fn cache(config: &LogConfig) -> Result<Self> {
        Self::with_limits(config, &Limits::cache(&config.options)?)
    }

    fn with_limits(config: &LogConfig, limits: &Limits) -> Result<Self> {
        let file = LogFile::open(&config.path, limits)?;
        let mut attributes: Vec<_> = config
            .attributes
            .iter()
            .map(|(key, value)| LogAttr { key: key.clone(), value: value.clone() })
            .collect();
        attributes.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Local { file, attributes, pieces: Pieces::default() })
    }
}

impl Driver for Local {
    fn append(&mut self, channel: Channel, line: &Line<'_>) {
        let piece = self.pieces.of(channel, line).map(|piece| PartialLogEntryMetadata {
            last: piece.last,
            id: piece.id,
            ordinal: i32::try_from(piece.ordinal).unwrap_or(i32::MAX),
        });
        let since = line.time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let entry = LogEntry {
            source: channel.name().to_owned(),
            time_nano: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            line: line.text.to_vec(),
            partial: piece.is_some(),
            partial_log_metadata: piece,
            attrs: self.attributes.clone(),
        };
        // A piece of a line is some KiB, and so are attributes at most.
        let length = u32::try_from(entry.encoded_len()).unwrap_or(u32::MAX).to_be_bytes();
        let out = self.file.entry(line.time);
        out.extend_from_slice(&length);
        entry.encode_raw(out);
        out.extend_from_slice(&length);
    }

    fn flush(&mut self) {
        self.file.flush();
    }

    fn reopen(&mut self) {
        self.file.reopen();
    }

    fn lost(&self) -> u64 {
        self.file.lost()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// The entries of a file.
    fn entries(mut bytes: &[u8]) -> Vec<LogEntry> {
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(4);
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
            let (entry, rest) = rest.split_at(length);
            entries.push(LogEntry::decode(entry).unwrap());
            assert_eq!(u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize, length);
            bytes = &rest[4..];
        }
        entries
    }

    #[test]
    fn writes_what_dockers_reader_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("local.log");
        let config = LogConfig {
            driver: "local".into(),
            path: path.display().to_string(),
            attributes: [("tag", "t")].map(|(k, v)| (k.into(), v.into())).into(),
            ..LogConfig::default()
        };
        let mut log = Local::open(&config).unwrap();
        let time = UNIX_EPOCH + Duration::new(7, 9);
        let whole = Line { text: b"hi \xff", partial: false, piece: 0, time };
        log.append(Channel::Stdout, &whole);
        log.append(Channel::Stderr, &Line { partial: true, piece: 1, ..whole });
        log.append(Channel::Stderr, &Line { piece: 2, ..whole });
        log.flush();
        let entries = entries(&std::fs::read(&path).unwrap());
        assert_eq!(entries.len(), 3);
        assert_eq!((entries[0].source.as_str(), entries[0].time_nano), ("stdout", 7_000_000_009));
        assert_eq!(entries[0].line, b"hi \xff");
        assert_eq!(entries[0].attrs[0].value, "t");
        assert!(!entries[0].partial && entries[1].partial && entries[2].partial);
        let piece = |number: usize| entries[number].partial_log_metadata.clone().unwrap();
        assert_eq!((piece(1).ordinal, piece(1).last), (1, false));
        assert_eq!((piece(2).ordinal, piece(2).last), (2, true));
        assert_eq!(piece(1).id, piece(2).id);
        assert!(!piece(1).id.is_empty());
    }
}
