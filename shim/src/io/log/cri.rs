//! The format of Kubernetes' container runtime interface: time, stream, `F` or (where the line goes
//! on) `P`, and the text.

use tare_proto::tare::shim::v1::Log as LogConfig;

use super::driver::Driver;
use super::file::LogFile;
use super::lines::Line;
use super::options::Limits;
use crate::clock::Clock;
use crate::error::Result;
use crate::io::hub::Channel;

/// The writer of one log. The kubelet rotates it: it moves the file away and asks for a new one.
pub(super) struct Cri {
    file: LogFile,
    clock: Clock,
}

impl Cri {
    /// Opens the file to append to it.
    pub(super) fn open(config: &LogConfig) -> Result<Self> {
        let file = LogFile::open(&config.path, &Limits::NONE)?;
        Ok(Cri { file, clock: Clock::default() })
    }
}

impl Driver for Cri {
    fn append(&mut self, channel: Channel, line: &Line<'_>) {
        let out = self.file.entry(line.time);
        self.clock.append_padded(line.time, out);
        out.push(b' ');
        out.extend_from_slice(channel.name().as_bytes());
        out.extend_from_slice(if line.partial { b" P " } else { b" F " });
        out.extend_from_slice(line.text);
        out.push(b'\n');
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

    #[test]
    fn writes_what_the_kubelet_reads_and_goes_on_in_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let config = LogConfig {
            driver: "cri".into(),
            path: path.display().to_string(),
            ..LogConfig::default()
        };
        let mut log = Cri::open(&config).unwrap();
        let time = UNIX_EPOCH + Duration::new(1_504_227_661, 120_000_000);
        let line = Line { text: b"hello", partial: false, piece: 0, time };
        log.append(Channel::Stdout, &line);
        log.append(Channel::Stderr, &Line { partial: true, piece: 1, ..line });
        log.flush();
        let moved = directory.path().join("0.log.1");
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        log.append(Channel::Stdout, &line);
        log.flush();
        let expected = "2017-09-01T01:01:01.120000000Z stdout F hello\n\
                        2017-09-01T01:01:01.120000000Z stderr P hello\n";
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), expected);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "2017-09-01T01:01:01.120000000Z stdout F hello\n");
    }
}
