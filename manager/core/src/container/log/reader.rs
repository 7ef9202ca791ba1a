//! Reads a log's lines in their order, over all its files, across rotations that happen meanwhile.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;

use super::super::options::LogLine;
use super::files::{self, Identity, LogFile};
use super::format::Format;
use super::place::Place;
use super::tail::{self, From};
use crate::error::{Error, Result};

/// Bytes of the file that make a batch.
const BATCH: usize = 64 << 10;

/// Which lines count by their time; both ends do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter {
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

/// A place in a log.
pub(super) struct Reader {
    path: PathBuf,
    format: Format,
    filter: Filter,
    /// What is read now.
    open: Option<Open>,
    /// What comes after it.
    next: VecDeque<From>,
    /// The time of the last line.
    last: Option<Timestamp>,
    /// Lines up to this time have been read, from a file that is found no more.
    read_up_to: Option<Timestamp>,
    past_end: bool,
}

/// A file that is read.
struct Open {
    input: Box<dyn BufRead + Send>,
    identity: Identity,
    current: bool,
    skip: u64,
    /// The beginning of a line whose end isn't written yet.
    line: Vec<u8>,
}

impl Reader {
    /// Opens the log at `path`, at its beginning or its last lines. Blocks.
    pub(super) fn open(place: Place, filter: Filter, tail: Option<u64>) -> Result<Self> {
        let Place { path, format } = place;
        let files = files::all(&path)?;
        let next = match tail {
            None => files.into_iter().map(|file| From { file, skip: 0 }).collect(),
            Some(count) => tail::last(files, format, count)
                .map_err(|error| Error::io(format!("read the log {}", path.display()), error))?,
        };
        Ok(Self {
            path,
            format,
            filter,
            open: None,
            next,
            last: None,
            read_up_to: None,
            past_end: false,
        })
    }

    /// Whether a line later than all that count has come.
    pub(super) fn is_past_end(&self) -> bool {
        self.past_end
    }

    /// The next lines; none if there are no more now. Blocks.
    pub(super) fn batch(&mut self) -> Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH && !self.past_end {
            match self.line()? {
                Some(line) => {
                    bytes += line.bytes.len();
                    lines.push(line);
                }
                None => break,
            }
        }
        Ok(lines)
    }

    /// The next line that counts.
    fn line(&mut self) -> Result<Option<LogLine>> {
        while let Some(line) = self.raw_line()? {
            let Some(line) = self.format.parse(&line) else {
                tracing::warn!(log = %self.path.display(), "a damaged line is left out");
                continue;
            };
            if self.read_up_to.is_some_and(|time| line.time <= time) {
                continue;
            }
            self.last = Some(line.time);
            if self.filter.until.is_some_and(|until| line.time > until) {
                self.past_end = true;
                return Ok(None);
            }
            if self.filter.since.is_none_or(|since| line.time >= since) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// The next line as it stands in the files; `None` if there is no more now.
    fn raw_line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let Some(open) = &mut self.open else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            if let Some(line) = open.read_line(self.format).map_err(|error| {
                Error::io(format!("read the log {}", self.path.display()), error)
            })? {
                if open.skip > 0 {
                    open.skip -= 1;
                    continue;
                }
                return Ok(Some(line));
            }
            if open.current {
                let identity = open.identity;
                if files::identity(&self.path) == Some(identity) {
                    return Ok(None);
                }
                // It was rotated away, and may have got more until then: it is read to its end as
                // the others are.
                open.current = false;
                self.queue_after(identity)?;
            } else {
                self.open = None;
            }
        }
    }

    /// Finds what was written after the file `identity`.
    fn queue_after(&mut self, identity: Identity) -> Result<()> {
        let files = files::all(&self.path)?;
        match files.iter().position(|file| file.identity == identity) {
            Some(place) => {
                let later = files.into_iter().skip(place + 1);
                self.next = later.map(|file| From { file, skip: 0 }).collect();
            }
            // It was compressed or deleted; what is newer than its last line comes after it.
            None => {
                self.read_up_to = self.last;
                self.next = files.into_iter().map(|file| From { file, skip: 0 }).collect();
            }
        }
        Ok(())
    }

    /// Opens what comes next; whether there is anything.
    fn open_next(&mut self) -> Result<bool> {
        let from = match self.next.pop_front() {
            Some(from) => from,
            None => match LogFile::current(&self.path)? {
                Some(file) => From { file, skip: 0 },
                None => return Ok(false),
            },
        };
        self.open = Some(Open::new(from));
        Ok(true)
    }
}

impl Open {
    fn new(From { file, skip }: From) -> Self {
        let LogFile { file, identity, compressed, current } = file;
        let input: Box<dyn BufRead + Send> = if compressed {
            Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Box::new(BufReader::with_capacity(BATCH, file))
        };
        Self { input, identity, current, skip, line: Vec::new() }
    }

    /// The next line, once its end is there.
    fn read_line(&mut self, format: Format) -> std::io::Result<Option<Vec<u8>>> {
        let complete = format.read(&mut self.input, &mut self.line)?;
        Ok(complete.then(|| std::mem::take(&mut self.line)))
    }
}
