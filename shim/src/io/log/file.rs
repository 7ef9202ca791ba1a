//! The file of a log that is kept on disk: what is on its way there, and its rotation.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::options::Limits;
use super::rotation::Rotation;
use crate::diagnostics::warn;
use crate::error::{Context, Error, Result};

/// A file that entries are appended to. Each is in it whole, or not at all.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Bytes in the file.
    size: u64,
    /// Entries to be written.
    buffer: Vec<u8>,
    max_size: Option<u64>,
    rotation: Rotation,
    /// The time of the last entry.
    last_time: SystemTime,
    /// The disk refused an entry, and this has been said.
    failing: bool,
}

impl LogFile {
    /// Opens the file at `path`, an absolute one, to append to it.
    pub(super) fn open(path: &str, limits: &Limits) -> Result<Self> {
        if !path.starts_with('/') {
            return Err(Error::invalid(format!("log path {path:?} must be absolute")));
        }
        let path = PathBuf::from(path);
        let what = || format!("open the log {}", path.display());
        let file = open(&path).context(what)?;
        let size = file.metadata().context(what)?.len();
        Ok(LogFile {
            rotation: Rotation::new(path.clone(), limits.max_files, limits.compress),
            path,
            file,
            size,
            buffer: Vec::new(),
            max_size: limits.max_size,
            last_time: SystemTime::UNIX_EPOCH,
            failing: false,
        })
    }

    /// Where to append an entry of `time`; it is in the file after the next [`flush`](Self::flush).
    pub(super) fn entry(&mut self, time: SystemTime) -> &mut Vec<u8> {
        let size = self.size + self.buffer.len() as u64;
        if self.max_size.is_some_and(|max| size >= max) {
            self.write_buffer();
            self.rotation.rotate(self.last_time);
            self.reopen();
        }
        self.last_time = time;
        &mut self.buffer
    }

    /// Writes what was added, and gives its memory back.
    pub(super) fn flush(&mut self) {
        self.write_buffer();
        self.buffer = Vec::new();
    }

    /// Goes on in the file that the path leads to now.
    pub(super) fn reopen(&mut self) {
        match open(&self.path) {
            Ok(file) => {
                self.size = file.metadata().map_or(0, |metadata| metadata.len());
                self.file = file;
            }
            // The old file is still open, under its new name.
            Err(error) => warn(format_args!("log {}: {error}", self.path.display())),
        }
    }

    /// A full disk must neither stop the container nor leave half an entry: what can't be written
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
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}
