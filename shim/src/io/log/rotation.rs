//! Moves a full log out of the way, as docker does: `x.log` becomes `x.log.1`, which had become
//! `x.log.2`, and so on; compressed ones end in `.gz`.
//!
//! It happens by rename alone: whoever reads the file goes on reading it to its end, sees that the
//! path now leads to another file (another inode), and opens that one. A compressed file takes the
//! plain one's place only when it is complete.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::SystemTime;

use flate2::{Compression, GzBuilder};

use crate::clock::rfc3339;
use crate::diagnostics::warn;

/// The rotation of one log.
pub(crate) struct Rotation {
    path: PathBuf,
    max_files: u32,
    compress: bool,
    compressing: Option<JoinHandle<()>>,
}

impl Rotation {
    /// Of the log at `path`, with at most `max_files` files, the current one included.
    pub(crate) fn new(path: PathBuf, max_files: u32, compress: bool) -> Self {
        Rotation { path, max_files, compress, compressing: None }
    }

    /// Moves the current file away; its last line is of `last_time`. Failures are only said: the
    /// log goes on, in a file that is larger than it should be if need be.
    pub(crate) fn rotate(&mut self, last_time: SystemTime) {
        self.wait_for_compression();
        if let Err(error) = self.move_files() {
            warn(format_args!("rotate the log {}: {error}", self.path.display()));
            return;
        }
        if self.compress && self.max_files > 1 {
            self.compress_newest(last_time);
        }
    }

    fn move_files(&self) -> io::Result<()> {
        if self.max_files == 1 {
            return fs::remove_file(&self.path);
        }
        // A file is plain where compression isn't wanted, or failed.
        let suffixes = ["", ".gz"];
        for suffix in suffixes {
            ignore_missing(fs::remove_file(self.numbered(self.max_files - 1, suffix)))?;
        }
        for number in (1..self.max_files - 1).rev() {
            for suffix in suffixes {
                ignore_missing(fs::rename(
                    self.numbered(number, suffix),
                    self.numbered(number + 1, suffix),
                ))?;
            }
        }
        fs::rename(&self.path, self.numbered(1, ""))
    }

    fn numbered(&self, number: u32, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}{suffix}"));
        PathBuf::from(name)
    }

    /// On a thread of its own, for the time it takes.
    fn compress_newest(&mut self, last_time: SystemTime) {
        let plain = self.numbered(1, "");
        let packed = self.numbered(1, ".gz");
        let work = move || {
            if let Err(error) = compress(&plain, &packed, last_time) {
                warn(format_args!("compress the log {}: {error}", plain.display()));
            }
        };
        let spawned = std::thread::Builder::new().stack_size(128 << 10).spawn(work);
        match spawned {
            Ok(thread) => self.compressing = Some(thread),
            Err(error) => warn(format_args!("compress the log: no thread for it: {error}")),
        }
    }

    fn wait_for_compression(&mut self) {
        if let Some(thread) = self.compressing.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Rotation {
    fn drop(&mut self) {
        self.wait_for_compression();
    }
}

fn compress(plain: &Path, packed: &Path, last_time: SystemTime) -> io::Result<()> {
    let unfinished = packed.with_extension("gz.tmp");
    let mut source = File::open(plain)?;
    let target =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o640).open(&unfinished)?;
    // docker's reader skips files whose last line is older than what it is asked for. Ours finds
    // here which file this was, so that whoever was reading that one knows what comes after it. The
    // inode alone doesn't say: the next file may get it. So no two have the same time.
    source.set_modified(SystemTime::now())?;
    let facts = source.metadata()?;
    let (inode, modified) = (facts.ino(), nanoseconds(&facts));
    let time = rfc3339(last_time);
    let extra = format!("{{\"lastTime\":\"{time}\",\"inode\":{inode},\"modified\":{modified}}}");
    let mut encoder = GzBuilder::new().extra(extra).write(target, Compression::default());
    let done = io::copy(&mut source, &mut encoder)
        .and_then(|_| encoder.finish())
        .and_then(|_| fs::rename(&unfinished, packed));
    match done {
        Ok(()) => fs::remove_file(plain),
        Err(error) => {
            let _ = fs::remove_file(&unfinished);
            Err(error)
        }
    }
}

/// When a file was modified, in nanoseconds since 1970.
fn nanoseconds(facts: &fs::Metadata) -> i128 {
    i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec())
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
