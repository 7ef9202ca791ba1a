//! docker's `json-file` format: one JSON object a line, with the members in docker's order.

use tare_proto::tare::shim::v1::Log as LogConfig;

use super::driver::Driver;
use super::escape::append_escaped;
use super::file::LogFile;
use super::lines::Line;
use super::options::Limits;
use crate::clock::Clock;
use crate::error::Result;
use crate::io::hub::Channel;

/// The writer of one log.
pub(super) struct JsonFile {
    file: LogFile,
    /// `"attrs":{...},` or nothing.
    attributes: Vec<u8>,
    clock: Clock,
}

impl JsonFile {
    /// Opens the file to append to it.
    pub(super) fn open(config: &LogConfig) -> Result<Self> {
        let limits = Limits::json_file(&config.options)?;
        Ok(JsonFile {
            file: LogFile::open(&config.path, &limits)?,
            attributes: encode_attributes(config),
            clock: Clock::default(),
        })
    }
}

impl Driver for JsonFile {
    fn append(&mut self, channel: Channel, line: &Line<'_>) {
        let out = self.file.entry(line.time);
        out.push(b'{');
        if !line.text.is_empty() || !line.partial {
            out.extend_from_slice(b"\"log\":\"");
            append_escaped(line.text, out);
            if !line.partial {
                out.extend_from_slice(b"\\n");
            }
            out.extend_from_slice(b"\",");
        }
        out.extend_from_slice(match channel {
            Channel::Stdout => b"\"stream\":\"stdout\",",
            Channel::Stderr => b"\"stream\":\"stderr\",",
        });
        out.extend_from_slice(&self.attributes);
        out.extend_from_slice(b"\"time\":\"");
        self.clock.append(line.time, out);
        out.extend_from_slice(b"\"}\n");
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

/// The attributes as docker writes them: sorted by key.
fn encode_attributes(config: &LogConfig) -> Vec<u8> {
    if config.attributes.is_empty() {
        return Vec::new();
    }
    let mut attributes: Vec<_> = config.attributes.iter().collect();
    attributes.sort();
    let mut out = b"\"attrs\":{".to_vec();
    for (key, value) in attributes {
        for (text, end) in [(key, b"\":"), (value, b"\",")] {
            out.push(b'"');
            append_escaped(text.as_bytes(), &mut out);
            out.extend_from_slice(end);
        }
    }
    out.pop();
    out.extend_from_slice(b"},");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn config(path: &std::path::Path, options: &[(&str, &str)]) -> LogConfig {
        LogConfig {
            driver: "json-file".into(),
            path: path.display().to_string(),
            options: options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..LogConfig::default()
        }
    }

    fn line(text: &str) -> Line<'_> {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_504_227_661, 1);
        Line { text: text.as_bytes(), partial: false, piece: 0, time }
    }

    #[test]
    fn writes_dockers_members_in_dockers_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("container.log");
        let mut config = config(&path, &[]);
        config.attributes = [("b", "2"), ("a", "<")].map(|(k, v)| (k.into(), v.into())).into();
        let mut log = JsonFile::open(&config).unwrap();
        log.append(Channel::Stdout, &line("hi"));
        log.append(Channel::Stderr, &Line { partial: true, piece: 1, ..line("part") });
        log.flush();
        let attrs = r#""attrs":{"a":"\u003c","b":"2"},"time":"2017-09-01T01:01:01.000000001Z"}"#;
        let expected = format!(
            "{{\"log\":\"hi\\n\",\"stream\":\"stdout\",{attrs}\n\
             {{\"log\":\"part\",\"stream\":\"stderr\",{attrs}\n"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn rotates_between_lines_and_loses_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("container.log");
        let options = [("max-size", "200"), ("max-file", "3"), ("compress", "true")];
        let mut log = JsonFile::open(&config(&path, &options)).unwrap();
        for number in 0..8 {
            log.append(Channel::Stdout, &line(&format!("line {number}")));
        }
        log.flush();
        drop(log);
        let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
        let unzipped = |name: &str| {
            let mut text = String::new();
            let file = read(name);
            let mut decoder = flate2::read::GzDecoder::new(&file[..]);
            std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
            text
        };
        let all = format!(
            "{}{}{}",
            unzipped("container.log.2.gz"),
            unzipped("container.log.1.gz"),
            String::from_utf8(read("container.log")).unwrap()
        );
        let kept: Vec<_> = all.lines().map(|line| line.contains("line")).collect();
        assert_eq!(kept.len(), 8, "{all}");
        assert!(all.find("line 0") < all.find("line 7"));
        assert!(!directory.path().join("container.log.1").exists());
    }

    #[test]
    fn one_file_starts_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("container.log");
        let mut log = JsonFile::open(&config(&path, &[("max-size", "100")])).unwrap();
        for number in 0..5 {
            log.append(Channel::Stdout, &line(&format!("line {number}")));
        }
        log.flush();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("line 4") && !text.contains("line 1"), "{text}");
    }
}
