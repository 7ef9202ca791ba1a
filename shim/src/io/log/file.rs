//! The file of a log that is kept on disk: what is on its way there, and its rotation.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::options::Limits;
use super::rotation::Rotation;
use crate::diagnostics::warn;
use crate::error::{Context, Error, Result};

/// Bytes that are written at once, or lost at once on a full disk.
const AT_ONCE: usize = 64 << 10;

/// A file that entries are appended to. Each is in it whole, or not at all.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Bytes in the file.
    size: u64,
    /// Entries to be written, and how many they are.
    buffer: Vec<u8>,
    entries: u64,
    /// How many the disk refused.
    lost: u64,
    /// How many bytes the last burst had: the next one may have as many.
    expected: usize,
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
            entries: 0,
            lost: 0,
            expected: 0,
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
        } else if self.buffer.len() >= AT_ONCE {
            self.write_buffer();
        }
        self.last_time = time;
        self.entries += 1;
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(self.expected);
        }
        &mut self.buffer
    }

    /// Writes what was added, and gives its memory back.
    pub(super) fn flush(&mut self) {
        self.look_after_file();
        self.expected = self.buffer.len();
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
            Err(error) => {
                self.failing = true;
                warn(format_args!("log {}: {error}", self.path.display()));
            }
        }
    }

    /// How many entries could not be written.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Somebody may have emptied the file, moved it away or deleted it without a word: what comes
    /// goes to where a reader looks for it.
    fn look_after_file(&mut self) {
        match (std::fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(ours)) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                self.size = there.len();
            }
            (Ok(_), _) => self.reopen(),
            (Err(error), _) if error.kind() == ErrorKind::NotFound && !self.failing => {
                self.reopen();
            }
            (Err(_), _) => {}
        }
    }

    /// A full disk must neither stop the container nor leave half an entry: what can't be written
    /// whole is dropped and counted.
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
                self.lost += self.entries;
                if !std::mem::replace(&mut self.failing, true) {
                    warn(format_args!("log {}: {error}; lines are lost", self.path.display()));
                }
            }
        }
        self.buffer.clear();
        self.entries = 0;
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(path: &Path) -> LogFile {
        LogFile::open(&path.display().to_string(), &Limits::NONE).unwrap()
    }

    fn write(log: &mut LogFile, text: &str) {
        log.entry(SystemTime::now()).extend_from_slice(text.as_bytes());
        log.flush();
    }

    #[test]
    fn it_goes_on_whatever_its_owner_does_to_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let mut log = log(&path);
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        write(&mut log, "one\n");
        // Copied away and emptied.
        File::create(&path).unwrap();
        write(&mut log, "two\n");
        assert_eq!((read(&path).as_str(), log.size), ("two\n", 4));
        // Deleted.
        std::fs::remove_file(&path).unwrap();
        write(&mut log, "three\n");
        assert_eq!(read(&path), "three\n");
        // Moved away, with another in its place.
        let moved = directory.path().join("x.log.old");
        std::fs::rename(&path, &moved).unwrap();
        File::create(&path).unwrap();
        write(&mut log, "four\n");
        assert_eq!((read(&moved).as_str(), read(&path).as_str()), ("three\n", "four\n"));
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn what_the_disk_refuses_is_counted() {
        let mut log = log(Path::new("/dev/full"));
        write(&mut log, "one\n");
        write(&mut log, "two\n");
        assert_eq!(log.lost(), 2);
    }
}
