//! Reads a log's lines in their order, over all its files, across rotations that happen meanwhile.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;

use super::super::options::LogLine;
use super::files::{self, Identity, LogFile};
use super::format::Format;
use super::place::Place;
use super::tail::{self, From};
use crate::error::{Error, Result};

/// Bytes of memory that make a batch, which waits for whoever reads it: a line takes as much as what
/// is known of it, be it ever so short.
const BATCH: usize = 128 << 10;

/// Which lines count by their time; both ends do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter {
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

/// How far to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What there is when the reader is opened: whoever writes faster than this is read must not
    /// keep it going for ever.
    UntilNow,
    /// That, and all that is written later.
    Growing,
}

/// A place in a log.
pub(super) struct Reader {
    path: PathBuf,
    format: Format,
    filter: Filter,
    extent: Extent,
    /// What is read now. It stays open until what comes after it is found: so it can be told from
    /// others, and none in between is left out.
    open: Option<Open>,
    /// What comes after it.
    next: VecDeque<From>,
    past_end: bool,
}

/// A file that is read.
struct Open {
    input: Input,
    identity: Identity,
    skip: u64,
    /// It isn't written any more, and what it got at last is being read.
    finished: bool,
    /// The beginning of a line whose end isn't written yet.
    line: Vec<u8>,
}

enum Input {
    /// As it was written.
    Plain(BufReader<File>),
    /// That up to where it ended when it was opened.
    Limited(BufReader<std::io::Take<File>>),
    /// Compressed.
    Packed(Box<BufReader<MultiGzDecoder<BufReader<File>>>>),
}

impl Reader {
    /// Opens the log at `path`, at its beginning or its last lines. Blocks.
    pub(super) fn open(
        place: Place,
        filter: Filter,
        tail: Option<u64>,
        extent: Extent,
    ) -> Result<Self> {
        let Place { path, format } = place;
        let files = files::all(&path)?;
        let next = match tail {
            None => files.into_iter().map(|file| From { file, skip: 0 }).collect(),
            Some(count) => tail::last(files, format, count)
                .map_err(|error| Error::io(format!("read the log {}", path.display()), error))?,
        };
        Ok(Self { path, format, filter, extent, open: None, next, past_end: false })
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
                    bytes += line.bytes.len() + size_of::<LogLine>();
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
        let path = self.path.clone();
        let failed = |error| Error::io(format!("read the log {}", path.display()), error);
        loop {
            let Some(open) = &mut self.open else {
                if !self.open_first().map_err(failed)? {
                    return Ok(None);
                }
                continue;
            };
            if let Some(line) = open.read_line(self.format).map_err(failed)? {
                if open.skip > 0 {
                    open.skip -= 1;
                    continue;
                }
                return Ok(Some(line));
            }
            if let Some(next) = self.next.pop_front() {
                self.open = Some(Open::new(next, self.extent).map_err(failed)?);
                continue;
            }
            if self.extent == Extent::UntilNow {
                return Ok(None);
            }
            if files::identity(&self.path) == Some(open.identity) {
                if open.was_cut_off().map_err(failed)? {
                    continue;
                }
                return Ok(None);
            }
            // It was rotated away, and may have got more until then: that comes first.
            if !std::mem::replace(&mut open.finished, true) {
                continue;
            }
            let later = files::after(&self.path, open.identity, open.plain())?;
            if later.is_empty() {
                return Ok(None);
            }
            self.next = later.into_iter().map(|file| From { file, skip: 0 }).collect();
        }
    }

    /// Opens the first file; whether there is any.
    fn open_first(&mut self) -> std::io::Result<bool> {
        if self.next.is_empty() && self.extent == Extent::Growing {
            let files = files::all(&self.path).map_err(std::io::Error::other)?;
            self.next = files.into_iter().map(|file| From { file, skip: 0 }).collect();
        }
        let Some(first) = self.next.pop_front() else { return Ok(false) };
        self.open = Some(Open::new(first, self.extent)?);
        Ok(true)
    }
}

impl Open {
    fn new(From { file, skip }: From, extent: Extent) -> std::io::Result<Self> {
        let LogFile { mut file, identity, compressed, length, .. } = file;
        let input = if compressed {
            let unpacked = MultiGzDecoder::new(BufReader::new(file));
            Input::Packed(Box::new(BufReader::new(unpacked)))
        } else if extent == Extent::UntilNow {
            let left = length.saturating_sub(file.stream_position()?);
            Input::Limited(BufReader::with_capacity(BATCH, file.take(left)))
        } else {
            Input::Plain(BufReader::with_capacity(BATCH, file))
        };
        Ok(Self { input, identity, skip, finished: false, line: Vec::new() })
    }

    /// The file, unless it is a compressed one.
    fn plain(&self) -> Option<&File> {
        match &self.input {
            Input::Plain(input) => Some(input.get_ref()),
            Input::Limited(input) => Some(input.get_ref().get_ref()),
            Input::Packed(_) => None,
        }
    }

    /// Whether the file has become shorter than what was read of it: its owner has emptied it, and
    /// it is read from its beginning again.
    fn was_cut_off(&mut self) -> std::io::Result<bool> {
        let Input::Plain(input) = &mut self.input else { return Ok(false) };
        if input.get_ref().metadata()?.len() >= input.stream_position()? {
            return Ok(false);
        }
        input.seek(SeekFrom::Start(0))?;
        self.line.clear();
        Ok(true)
    }

    /// The next line, once its end is there.
    fn read_line(&mut self, format: Format) -> std::io::Result<Option<Vec<u8>>> {
        let input: &mut dyn BufRead = match &mut self.input {
            Input::Plain(input) => input,
            Input::Limited(input) => input,
            Input::Packed(input) => input,
        };
        let complete = format.read(input, &mut self.line)?;
        Ok(complete.then(|| std::mem::take(&mut self.line)))
    }
}
