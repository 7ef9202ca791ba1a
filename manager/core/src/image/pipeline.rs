//! Three stages side by side: uncompress a stream, hash it, and use it.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};

use super::archive::unreadable;
use super::compression::Compression;
use super::digest::{Digest, Hasher};
use crate::error::Result;
use crate::threads;

/// Bytes of one chunk: small enough to stay in the processor's cache from stage to stage.
const CHUNK: usize = 256 << 10;
/// Chunks that may wait between two stages.
const DEPTH: usize = 8;

type Chunk = io::Result<Vec<u8>>;

/// What became of a stream.
pub(crate) struct Decoded<T> {
    /// What was made of it.
    pub(crate) outcome: T,
    /// The digest of the uncompressed stream.
    pub(crate) digest: Digest,
    /// How it was compressed.
    pub(crate) compression: Compression,
}

/// Runs `work` over the uncompressed content of `source`. `work` must read it to its end. Where the
/// digest of `source` is `known`, it is the content itself, whatever it looks like.
///
/// # Errors
/// What `work` fails with; [`crate::Kind::Invalid`] for a damaged stream.
pub(crate) fn decoded<T>(
    source: impl Read + Send,
    known: Option<Digest>,
    work: impl FnOnce(&mut Chunks) -> Result<T>,
) -> Result<Decoded<T>> {
    let mut source = BufReader::with_capacity(CHUNK, source);
    let compression = match known {
        Some(_) => Compression::None,
        None => Compression::detect(source.fill_buf().map_err(unreadable)?)?,
    };
    let (to_work, work_from) = sync_channel(DEPTH);
    let (used, spare) = sync_channel(2 * DEPTH);
    thread::scope(|scope| {
        let hashing = match known {
            Some(digest) => {
                threads::start(scope, "uncompress", || {
                    uncompress(source, compression, to_work, spare);
                })?;
                Hashing::Known(digest)
            }
            None => {
                let (to_hash, hash_from) = sync_channel(DEPTH);
                threads::start(scope, "uncompress", || {
                    uncompress(source, compression, to_hash, spare);
                })?;
                let hashing = threads::start(scope, "hash", || hash(hash_from, to_work))?;
                Hashing::Computed(hashing)
            }
        };
        let mut chunks =
            Chunks { from: work_from, used, current: Vec::new(), position: 0, ended: false };
        let outcome = work(&mut chunks)?;
        // The stages before end when nobody takes from them.
        drop(chunks);
        let digest = hashing.finish()?;
        Ok(Decoded { outcome, digest, compression })
    })
}

/// Where the digest comes from.
enum Hashing<'scope> {
    Known(Digest),
    Computed(ScopedJoinHandle<'scope, Digest>),
}

impl Hashing<'_> {
    fn finish(self) -> Result<Digest> {
        match self {
            Self::Known(digest) => Ok(digest),
            Self::Computed(hashing) => threads::join(hashing),
        }
    }
}

fn uncompress<R: BufRead>(
    source: R,
    compression: Compression,
    to: SyncSender<Chunk>,
    spare: Receiver<Vec<u8>>,
) {
    let run = || -> io::Result<()> {
        let mut decoder = compression.decoder(source).map_err(io::Error::other)?;
        loop {
            let mut chunk = spare.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
            chunk.resize(CHUNK, 0);
            let filled = fill(&mut decoder, &mut chunk)?;
            if filled == 0 {
                return decoder.drain();
            }
            chunk.truncate(filled);
            if to.send(Ok(chunk)).is_err() {
                return Ok(());
            }
        }
    };
    if let Err(error) = run() {
        // Nobody listens any more: then nobody needs to know.
        let _ = to.send(Err(error));
    }
}

fn fill(source: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match source.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn hash(from: Receiver<Chunk>, to: SyncSender<Chunk>) -> Digest {
    let mut hasher = Hasher::default();
    for chunk in from {
        if let Ok(bytes) = &chunk {
            hasher.update(bytes);
        }
        if to.send(chunk).is_err() {
            break;
        }
    }
    hasher.finish()
}

/// The end of the pipeline: the uncompressed bytes.
pub(crate) struct Chunks {
    from: Receiver<Chunk>,
    /// Chunks go back to be filled again.
    used: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
    ended: bool,
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.current.len() && !self.ended {
            match self.from.recv() {
                Ok(Ok(chunk)) => {
                    let used = std::mem::replace(&mut self.current, chunk);
                    self.position = 0;
                    let _ = self.used.try_send(used);
                }
                Ok(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Err(_) => self.ended = true,
            }
        }
        Ok(self.current.get(self.position..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.position = (self.position + count).min(self.current.len());
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_content_comes_whole_with_its_digest() {
        let content: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let packed = zstd::encode_all(content.as_slice(), 1).unwrap();
        let decoded = decoded(packed.as_slice(), None, |chunks| {
            let mut all = Vec::new();
            chunks.read_to_end(&mut all).unwrap();
            Ok(all)
        })
        .unwrap();
        assert_eq!(decoded.digest, Digest::of(&content));
        assert_eq!(decoded.compression, Compression::Zstd);
        assert!(decoded.outcome == content);
    }

    #[test]
    fn a_stage_that_stops_stops_all() {
        let endless = io::repeat(7);
        let outcome = decoded(endless, None, |chunks| {
            chunks.fill_buf().map_err(unreadable)?;
            Err::<(), _>(Error::invalid("enough"))
        });
        assert_eq!(outcome.err().unwrap().to_string(), "enough");
    }

    #[test]
    fn a_source_that_fails_fails_the_work() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
        }
        let source = io::repeat(0).take(CHUNK as u64 * 3).chain(Broken);
        let outcome =
            decoded(source, None, |chunks| io::copy(chunks, &mut io::sink()).map_err(unreadable));
        assert_eq!(outcome.err().unwrap().kind(), crate::Kind::System);
    }
}
