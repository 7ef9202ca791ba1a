//! Output that waits on disk: a file without a name, written at its end and read from its beginning.
//! What has been read is given back to the file system.
//!
//! Each piece of output has a head: which stream it is of, in one byte, and its length, in four.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use rustix::fs::{FallocateFlags, Mode, OFlags};

use super::super::options::Output;

/// The most that may wait for one client; less where the disk has little room.
const LIMIT: u64 = 256 << 20;
/// The part of the free space that may be used.
const SHARE: u64 = 4;
/// Bytes that are written or read at once. A piece of output is shorter.
const BLOCK: usize = 256 << 10;
/// Bytes that are given back at once.
const GIVEN_BACK: u64 = 16 << 20;
/// Length of a piece's head.
const HEAD: usize = 5;

/// The file, and what is on its way to it.
pub(super) struct Spill {
    file: Arc<File>,
    limit: u64,
    /// Up to where it is read,
    read: u64,
    /// given back,
    given_back: u64,
    /// and written.
    written: u64,
    tail: BytesMut,
}

impl Spill {
    /// A file in `directory`.
    pub(super) async fn create(directory: PathBuf) -> io::Result<Self> {
        let (file, limit) = run(move || {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let file = rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR)?;
            let space = rustix::fs::fstatvfs(&file)?;
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            Ok((File::from(file), LIMIT.min(free / SHARE)))
        })
        .await?;
        let file = Arc::new(file);
        Ok(Spill { file, limit, read: 0, given_back: 0, written: 0, tail: BytesMut::new() })
    }

    /// How much waits, heads included.
    pub(super) fn bytes(&self) -> u64 {
        self.written - self.read + self.tail.len() as u64
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Whether nothing more should wait.
    pub(super) fn is_full(&self) -> bool {
        self.bytes() >= self.limit
    }

    /// Adds output. A disk that takes no more is as a limit that is reached.
    pub(super) async fn push(&mut self, output: &Output) {
        let (kind, bytes) = match output {
            Output::Stdout(bytes) => (1, bytes.clone()),
            Output::Stderr(bytes) => (2, bytes.clone()),
            Output::Missed(count) => (3, Bytes::copy_from_slice(&count.to_be_bytes())),
        };
        self.tail.extend([kind]);
        self.tail.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.tail.extend(bytes);
        if self.tail.len() < BLOCK {
            return;
        }
        let (file, at, tail) = (Arc::clone(&self.file), self.written, self.tail.split().freeze());
        let copy = tail.clone();
        match run(move || file.write_all_at(&copy, at)).await {
            Ok(()) => self.written += tail.len() as u64,
            Err(error) => {
                tracing::warn!(%error, "keep what an attached client hasn't read");
                self.tail = BytesMut::from(&tail[..]);
                self.limit = self.bytes();
            }
        }
    }

    /// Takes a few of the oldest pieces.
    pub(super) async fn pull(&mut self) -> io::Result<VecDeque<Output>> {
        if self.read == self.written {
            let mut tail = std::mem::take(&mut self.tail).freeze();
            return Ok(pieces(&mut tail));
        }
        let length = (self.written - self.read).min(BLOCK as u64 * 2);
        let (file, at) = (Arc::clone(&self.file), self.read);
        let mut block = run(move || {
            let mut block = vec![0; usize::try_from(length).unwrap_or_default()];
            file.read_exact_at(&mut block, at)?;
            Ok(Bytes::from(block))
        })
        .await?;
        let pieces = pieces(&mut block);
        self.read += length - block.len() as u64;
        if pieces.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a piece without an end"));
        }
        self.give_back().await;
        Ok(pieces)
    }

    /// Frees what has been read. Where that isn't possible it is freed at the end.
    async fn give_back(&mut self) {
        if self.read - self.given_back < GIVEN_BACK {
            return;
        }
        let (file, from, length) =
            (Arc::clone(&self.file), self.given_back, self.read - self.given_back);
        self.given_back = self.read;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = run(move || Ok(rustix::fs::fallocate(&file, flags, from, length)?)).await;
    }

    #[cfg(test)]
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }
}

/// Takes whole pieces from the front of `bytes`.
fn pieces(bytes: &mut Bytes) -> VecDeque<Output> {
    let mut pieces = VecDeque::new();
    while let Some((kind, length)) = head(bytes)
        && bytes.len() - HEAD >= length
    {
        bytes.advance(HEAD);
        let piece = bytes.split_to(length);
        pieces.push_back(match kind {
            1 => Output::Stdout(piece),
            2 => Output::Stderr(piece),
            _ => Output::Missed(piece.as_ref().try_into().map_or(0, u64::from_be_bytes)),
        });
    }
    pieces
}

fn head(bytes: &Bytes) -> Option<(u8, usize)> {
    let (kind, rest) = bytes.split_first()?;
    let length = rest.first_chunk().copied().map(u32::from_be_bytes)?;
    Some((*kind, length as usize))
}

/// Runs what may wait for the disk on a thread of its own.
async fn run<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
