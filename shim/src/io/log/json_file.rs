//! docker's `json-file` format: one JSON object a line, with the members in docker's order.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use tare_proto::tare::shim::v1::Log as LogConfig;

use super::escape::append_escaped;
use super::lines::Line;
use super::options::Limits;
use super::rotation::Rotation;
use crate::clock::Clock;
use crate::diagnostics::warn;
use crate::error::{Context, Error, Result};
use crate::io::hub::Channel;

/// The file and what is on its way there.
pub(crate) struct JsonFile {
    path: PathBuf,
    file: File,
    /// Bytes in the file.
    size: u64,
    /// Lines to be written.
    buffer: Vec<u8>,
    /// `"attrs":{...},` or nothing.
    attributes: Vec<u8>,
    clock: Clock,
    last_time: SystemTime,
    limits: Limits,
    rotation: Rotation,
    /// The disk refused a line, and this has been said.
    failing: bool,
}

impl JsonFile {
    /// Opens the file to append to it.
    pub(crate) fn open(config: &LogConfig) -> Result<Self> {
        let limits = Limits::from_options(&config.options)?;
        if !config.path.starts_with('/') {
            return Err(Error::invalid(format!("log path {:?} must be absolute", config.path)));
        }
        let path = PathBuf::from(&config.path);
        let what = || format!("open the log {}", path.display());
        let file = open(&path).context(what)?;
        let size = file.metadata().context(what)?.len();
        Ok(JsonFile {
            rotation: Rotation::new(path.clone(), limits.max_files, limits.compress),
            path,
            file,
            size,
            buffer: Vec::new(),
            attributes: encode_attributes(config)?,
            clock: Clock::default(),
            last_time: SystemTime::UNIX_EPOCH,
            limits,
            failing: false,
        })
    }

    /// Adds a line; it is in the file after the next [`flush`](Self::flush).
    pub(crate) fn append(&mut self, channel: Channel, line: &Line<'_>) {
        let size = self.size + self.buffer.len() as u64;
        if self.limits.max_size.is_some_and(|max| size >= max) {
            self.write_buffer();
            self.rotate();
        }
        self.last_time = line.time;
        let out = &mut self.buffer;
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

    /// Writes what was added, and gives its memory back.
    pub(crate) fn flush(&mut self) {
        self.write_buffer();
        self.buffer = Vec::new();
    }

    /// A full disk must neither stop the container nor leave half a line: what can't be written
    /// whole is dropped, and said once.
    fn write_buffer(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        match self.file.write_all(&self.buffer) {
            Ok(()) => {
                self.size += self.buffer.len() as u64;
                self.failing = false;
            }
            Err(error) => {
                let _ = self.file.set_len(self.size);
                if !std::mem::replace(&mut self.failing, true) {
                    warn(format_args!("log {}: {error}; lines are lost", self.path.display()));
                }
            }
        }
        self.buffer.clear();
    }

    fn rotate(&mut self) {
        self.rotation.rotate(self.last_time);
        match open(&self.path) {
            Ok(file) => {
                self.size = file.metadata().map_or(0, |metadata| metadata.len());
                self.file = file;
            }
            // The old file is still open, under its new name.
            Err(error) => warn(format_args!("log {}: {error}", self.path.display())),
        }
    }
}

fn open(path: &PathBuf) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// The attributes as docker writes them: sorted by key.
fn encode_attributes(config: &LogConfig) -> Result<Vec<u8>> {
    if config.attributes.is_empty() {
        return Ok(Vec::new());
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
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::time::Duration;

    fn config(path: &std::path::Path, options: &[(&str, &str)]) -> LogConfig {
        LogConfig {
            driver: "json-file".into(),
            path: path.display().to_string(),
            options: options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            attributes: HashMap::new(),
        }
    }

    fn line(text: &str) -> Line<'_> {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_504_227_661, 1);
        Line { text: text.as_bytes(), partial: false, time }
    }

    #[test]
    fn writes_dockers_members_in_dockers_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("container.log");
        let mut config = config(&path, &[]);
        config.attributes = [("b", "2"), ("a", "<")].map(|(k, v)| (k.into(), v.into())).into();
        let mut log = JsonFile::open(&config).unwrap();
        log.append(Channel::Stdout, &line("hi"));
        log.append(Channel::Stderr, &Line { partial: true, ..line("part") });
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
