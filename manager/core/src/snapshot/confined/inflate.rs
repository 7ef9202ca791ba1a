//! The process that uncompresses: a pipe in, a pipe out, and nothing else in reach.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::process::{LastWord, Process, Role};
use super::{PIECE, fence, pipe, stream};
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::compression::Compression;
use crate::snapshot::Limits;

/// The process, the pipe to it, and the one that its output comes from.
pub(super) struct Inflating {
    pub(super) process: Process,
    pub(super) to_it: OwnedFd,
    pub(super) from_it: OwnedFd,
}

impl Inflating {
    /// Starts it.
    pub(super) fn start(program: &Path, compression: Compression, limits: &Limits) -> Result<Self> {
        let (input, to_it) = pipe()?;
        let (from_it, output) = pipe()?;
        let order = serde_json::to_string(&(compression, limits))
            .map_err(|error| Error::system(format!("encode an order: {error}")))?;
        let order = Some(OsStr::new(&order));
        let process = Process::start(program, Role::Uncompress, order, input, output)?;
        Ok(Self { process, to_it, from_it })
    }
}

/// A stream that such a process uncompresses while it is read.
pub(crate) struct Uncompressed {
    process: Process,
    from: File,
    ended: bool,
    /// What was wrong with the compressed stream.
    failure: Arc<Mutex<Option<io::Error>>>,
    given_up: GivenUp,
}

impl Uncompressed {
    pub(super) fn start(
        program: &Path,
        source: impl BufRead + Send + 'static,
        compression: Compression,
        limits: &Limits,
        given_up: &GivenUp,
    ) -> Result<Self> {
        let Inflating { process, to_it, from_it } = Inflating::start(program, compression, limits)?;
        let failure = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&failure);
        // It ends with its pipe, which ends with the process.
        let feed = move || {
            if let Err(error) = stream::feed(source, to_it) {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        };
        thread::Builder::new()
            .name("compressed".to_owned())
            .spawn(feed)
            .map_err(|error| Error::io("start a thread", error))?;
        let (from, given_up) = (File::from(from_it), given_up.clone());
        Ok(Self { process, from, ended: false, failure, given_up })
    }
}

impl Read for Uncompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        stream::wait_for(self.from.as_fd(), &self.given_up).map_err(io::Error::other)?;
        let count = self.from.read(buffer)?;
        if count == 0 {
            self.ended = true;
            // A stream that ends early is damaged, for the process; here it is known why.
            let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
            failure.map_or(Ok(()), Err)?;
            self.process.last_word()?;
        }
        Ok(count)
    }
}

/// Does the work of the process; `order` says how its standard input is compressed.
pub(super) fn run(order: Option<&str>) -> Result<()> {
    let order = order.and_then(|order| serde_json::from_str(order).ok());
    let (compression, limits): (Compression, Limits) =
        order.ok_or_else(|| Error::invalid("it was not said what to uncompress"))?;
    let taken = |error| Error::io("take the streams", error);
    let from = io::stdin().as_fd().try_clone_to_owned().map_err(taken)?;
    let to = io::stdout().as_fd().try_clone_to_owned().map_err(taken)?;
    fence::close_all_but_pipes(&limits)?;
    let word = match uncompress(File::from(from), compression, &mut File::from(to)) {
        Ok(()) => LastWord::Whole,
        Err(error) => LastWord::of(&error),
    };
    let word = serde_json::to_vec(&word)
        .map_err(|error| Error::system(format!("encode a word: {error}")))?;
    io::stderr().write_all(&word).map_err(|error| Error::io("say the last word", error))
}

/// To the end of the source, whatever follows what is compressed: all of it is hashed as a blob.
fn uncompress(source: impl Read, compression: Compression, to: &mut impl Write) -> io::Result<()> {
    let source = BufReader::with_capacity(PIECE, source);
    let mut decoder = compression.decoder(source).map_err(io::Error::other)?;
    let mut piece = vec![0; PIECE];
    loop {
        let mut filled = 0;
        while filled < piece.len() {
            match decoder.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 {
            return decoder.drain();
        }
        to.write_all(&piece[..filled])?;
    }
}
