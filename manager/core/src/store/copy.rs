//! A copy of all records, beside them: lines of text, each what one transaction has changed.
//!
//! It is not synced with every transaction, and may be behind after a power cut; the records
//! themselves are not. A line is `checksum, revision, table, key, record, table, key, record, ...`,
//! with tabs between them: JSON has none. The first line is all that there was.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::disk::sync_directory;
use crate::error::Result;

/// All records, by table and key.
pub(super) type Records = BTreeMap<(String, String), Vec<u8>>;

/// How much longer than all records it may become.
const MOST_CHANGES: u64 = 4 << 20;
/// How long after a failure it is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// What was saved.
pub(super) struct Saved {
    /// How many transactions there were.
    pub(super) revision: u64,
    pub(super) records: Records,
}

impl Saved {
    /// How long the line would be that has all records, but for its beginning.
    fn length(&self) -> u64 {
        let lengths = self
            .records
            .iter()
            .map(|((table, key), record)| table.len() + key.len() + record.len());
        lengths.sum::<usize>() as u64
    }
}

/// A record that was written or, without one, taken away.
#[derive(Clone)]
pub(super) struct Change {
    table: &'static str,
    key: String,
    record: Option<Vec<u8>>,
}

impl Change {
    pub(super) fn new(table: &'static str, key: &str, record: Option<Vec<u8>>) -> Self {
        Self { table, key: key.to_owned(), record }
    }
}

/// The copy that is being written.
pub(super) struct Copy {
    path: PathBuf,
    state: State,
}

enum State {
    /// It has all that the records have after so many transactions.
    Current { file: File, revision: u64, length: u64, most: u64 },
    /// It is to be made anew, but not before.
    Behind { until: Option<Instant> },
}

impl Copy {
    /// That of the records in the file `of`, if what was `saved` is all that they have; otherwise
    /// one that is to be made anew.
    pub(super) fn of(of: &Path, saved: Option<&Saved>) -> Self {
        let path = place(of);
        let opened = saved.map(|saved| {
            let file = OpenOptions::new().append(true).open(&path)?;
            let (length, most) = (file.metadata()?.len(), most(saved.length()));
            io::Result::Ok(State::Current { file, revision: saved.revision, length, most })
        });
        let state = match opened {
            Some(Ok(state)) => state,
            _ => State::Behind { until: None },
        };
        Self { path, state }
    }

    /// Whether it is to be made anew, now that there is time for that.
    pub(super) fn is_to_be_renewed(&self) -> bool {
        match &self.state {
            State::Current { length, most, .. } => length >= most,
            State::Behind { .. } => true,
        }
    }

    /// Adds what a transaction has changed; now and then all records are written anew, and also
    /// where the transaction is not the next one: the one before may have been told to have failed,
    /// and be on the disk. A failure is that of the copy alone: it is taken away.
    pub(super) fn append(
        &mut self,
        revision: u64,
        changes: &[Change],
        all: impl FnOnce() -> Result<Records>,
    ) {
        match &mut self.state {
            State::Behind { until: Some(until) } if Instant::now() < *until => {}
            State::Current { file, revision: last, length, most }
                if *length < *most && *last + 1 == revision =>
            {
                *last = revision;
                let changes = changes.iter().map(|change| {
                    (change.table, change.key.as_str(), change.record.as_deref().unwrap_or(b""))
                });
                let line = line(revision, changes);
                *length += line.len() as u64;
                let written = file.write_all(&line);
                self.settle(written);
            }
            State::Current { .. } | State::Behind { .. } => self.renew(revision, all),
        }
    }

    /// Writes all records anew.
    pub(super) fn renew(&mut self, revision: u64, all: impl FnOnce() -> Result<Records>) {
        let all = all().map_err(io::Error::other);
        let written = all.and_then(|all| self.begin(revision, &all));
        self.settle(written);
    }

    /// One that could not be written is no copy.
    fn settle(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "there is no copy of the records");
            let _ = std::fs::remove_file(&self.path);
            self.state = State::Behind { until: Some(Instant::now() + AFTER_FAILURE) };
        }
    }

    fn begin(&mut self, revision: u64, all: &Records) -> io::Result<()> {
        let new = self.path.with_extension("copy.new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let records =
            all.iter().map(|((table, key), record)| (table.as_str(), key.as_str(), &**record));
        let line = line(revision, records);
        let written = file.write_all(&line).and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| std::fs::rename(&new, &self.path)) {
            let _ = std::fs::remove_file(&new);
            return Err(error);
        }
        self.path.parent().map_or(Ok(()), sync_directory).map_err(io::Error::other)?;
        let length = line.len() as u64;
        self.state = State::Current { file, revision, length, most: most(length) };
        Ok(())
    }
}

/// How long a copy may become whose records take so much.
fn most(length: u64) -> u64 {
    2 * length + MOST_CHANGES
}

/// What was saved of the records in the file `of`, if that can be read. What comes after a line that
/// is not whole, or after one that is missing, is left out: a crash may have kept the end of what was
/// not synced, and not the middle.
pub(super) fn read(of: &Path) -> Option<Saved> {
    let content = std::fs::read(place(of)).ok()?;
    let mut saved = Saved { revision: 0, records: Records::new() };
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let Some(changes) = line.strip_suffix(b"\n").and_then(changes) else { break };
        if saved.revision > 0 && changes.revision != saved.revision + 1 {
            break;
        }
        saved.revision = changes.revision;
        for (name, record) in changes.records {
            match record {
                b"" => saved.records.remove(&name),
                record => saved.records.insert(name, record.to_vec()),
            };
        }
    }
    (saved.revision > 0).then_some(saved)
}

/// What a line says.
struct Changes<'a> {
    revision: u64,
    /// Those that were taken away are empty.
    records: Vec<((String, String), &'a [u8])>,
}

/// Reads a line; none: it is damaged.
fn changes(line: &[u8]) -> Option<Changes<'_>> {
    let (said, rest) = line.split_at_checked(SUM)?;
    let rest = rest.strip_prefix(b"\t")?;
    if checksum(rest).as_bytes() != said {
        return None;
    }
    let mut words = rest.split(|byte| *byte == b'\t');
    let revision = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let mut records = Vec::new();
    while let Some(table) = words.next() {
        let name =
            (String::from_utf8(table.to_vec()).ok()?, serde_json::from_slice(words.next()?).ok()?);
        records.push((name, words.next()?));
    }
    Some(Changes { revision, records })
}

fn line<'a>(revision: u64, records: impl Iterator<Item = (&'a str, &'a str, &'a [u8])>) -> Vec<u8> {
    let mut rest = revision.to_string().into_bytes();
    for (table, key, record) in records {
        // As JSON, so that no key has a tab or the end of a line in it.
        let key = serde_json::Value::from(key).to_string();
        for word in [table.as_bytes(), key.as_bytes(), record] {
            rest.push(b'\t');
            rest.extend_from_slice(word);
        }
    }
    let mut line = checksum(&rest).into_bytes();
    line.push(b'\t');
    line.append(&mut rest);
    line.push(b'\n');
    line
}

/// Hex digits of a checksum.
const SUM: usize = 16;

fn checksum(bytes: &[u8]) -> String {
    let mut sum = hex::encode(Sha256::digest(bytes));
    sum.truncate(SUM);
    sum
}

fn place(of: &Path) -> PathBuf {
    of.with_extension("copy")
}
