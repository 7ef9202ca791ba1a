//! A layer is compressed on all processors.
//!
//! Deflate looks back over 32 KiB only, and where a piece of its stream ends with a flush, another
//! that was made without a look at it can follow. So pieces of the layer are compressed side by side
//! and put together to one gzip stream, as pigz does. The pieces do not depend on the machine: the
//! same bytes always give the same bytes.

use std::io::{self, Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::blobs::{Blobs, Ingested};
use crate::image::image::Layer;

/// Bytes that are compressed together: what a piece cannot look back on costs less than a
/// hundredth of it.
const PIECE: usize = 1 << 20;
/// Pieces for each processor that may wait to be written.
const DEPTH: usize = 4;

/// Gzip's magic, deflate, no flags, no time, no hint of the level, an unknown system: neither a name
/// nor a time makes two streams differ.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Compresses the blob of a layer, and checks its digest on the way.
pub(super) fn compress(layer: &Layer, blobs: &Blobs, given_up: &GivenUp) -> Result<Ingested> {
    let source = given_up.reader(blobs.checked(layer.blob.digest, layer.blob.size)?);
    let mut to = blobs.create()?;
    gzip(source, &mut to)
        .map_err(|error| Error::io(format_args!("compress the layer {}", layer.diff_id), error))?;
    Ok(to.finish())
}

/// A piece of the layer, and where it goes when it is compressed.
struct Job {
    piece: Vec<u8>,
    last: bool,
    done: SyncSender<io::Result<Done>>,
}

/// A piece of the stream.
struct Done {
    packed: Vec<u8>,
    crc: Crc,
}

/// Compresses all of `source`.
pub(in crate::image) fn gzip(mut source: impl Read + Send, to: &mut impl Write) -> io::Result<()> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let (jobs, queue) = sync_channel::<Job>(workers);
    let (order, in_order) = sync_channel::<io::Result<Receiver<io::Result<Done>>>>(DEPTH * workers);
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        for number in 0..workers {
            let queue = &queue;
            let work = move || while work_on_one(queue).is_some() {};
            thread::Builder::new().name(format!("gzip {number}")).spawn_scoped(scope, work)?;
        }
        let cut = move || {
            if let Err(error) = cut(&mut source, &jobs, &order) {
                // Nobody waits any more: then nobody needs to know.
                let _ = order.send(Err(error));
            }
        };
        thread::Builder::new().name("gzip read".to_owned()).spawn_scoped(scope, cut)?;
        // Taken by value, so that the others end if the writing fails.
        put_together(in_order, to)
    })
}

/// Cuts the source into jobs, and says in which order their ends belong together.
fn cut(
    source: &mut impl Read,
    jobs: &SyncSender<Job>,
    order: &SyncSender<io::Result<Receiver<io::Result<Done>>>>,
) -> io::Result<()> {
    let mut piece = read_piece(source)?;
    loop {
        let next = if piece.len() < PIECE { Vec::new() } else { read_piece(source)? };
        let last = next.is_empty();
        let (done, result) = sync_channel(1);
        let left = order.send(Ok(result)).is_err() || jobs.send(Job { piece, last, done }).is_err();
        if last || left {
            return Ok(());
        }
        piece = next;
    }
}

fn read_piece(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE);
    source.take(PIECE as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

/// Does one job; `None`: there are no more.
fn work_on_one(queue: &Mutex<Receiver<Job>>) -> Option<()> {
    let Job { piece, last, done } =
        queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()?;
    // If nobody takes it, the writing has failed, and says so itself.
    let _ = done.send(deflate(&piece, last));
    Some(())
}

/// One piece of the stream: the last one ends it, and another follows each of the others.
fn deflate(piece: &[u8], last: bool) -> io::Result<Done> {
    let mut deflate = Compress::new(Compression::default(), false);
    let mut packed = Vec::with_capacity(piece.len() / 2 + 64);
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let taken = usize::try_from(deflate.total_in()).unwrap_or(piece.len());
        let status =
            deflate.compress_vec(&piece[taken..], &mut packed, flush).map_err(io::Error::other)?;
        // Where there is room left, all is out.
        let all = deflate.total_in() == piece.len() as u64;
        if status == Status::StreamEnd || (!last && all && packed.len() < packed.capacity()) {
            break;
        }
        packed.reserve(packed.len() / 2 + 64);
    }
    let mut crc = Crc::new();
    crc.update(piece);
    Ok(Done { packed, crc })
}

fn put_together(
    in_order: Receiver<io::Result<Receiver<io::Result<Done>>>>,
    to: &mut impl Write,
) -> io::Result<()> {
    to.write_all(&HEADER)?;
    let mut all = Crc::new();
    for result in in_order {
        let died = |_| io::Error::other("the thread that compresses died");
        let Done { packed, crc } = result?.recv().map_err(died)??;
        to.write_all(&packed)?;
        all.combine(&crc);
    }
    to.write_all(&all.sum().to_le_bytes())?;
    to.write_all(&all.amount().to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        gzip(content, &mut packed).unwrap();
        packed
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        // One stream, and nothing after it.
        let mut decoder = flate2::bufread::GzDecoder::new(packed);
        decoder.read_to_end(&mut content).unwrap();
        assert!(decoder.into_inner().is_empty());
        content
    }

    /// Compressible bytes that never repeat exactly.
    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| ((at * at / 7) >> 3) as u8 & 0x3f).collect()
    }

    #[test]
    fn pieces_are_one_stream() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 12_345] {
            let content = content(length);
            assert!(unpacked(&packed(&content)) == content, "{length}");
        }
    }

    #[test]
    fn what_cannot_be_compressed_is_whole_too() {
        let content: Vec<u8> = (0..3 * PIECE).map(|_| rand::random()).collect();
        let packed = packed(&content);
        assert!(packed.len() < content.len() + content.len() / 1000 + 100);
        assert!(unpacked(&packed) == content);
    }

    #[test]
    fn the_same_bytes_give_the_same_bytes() {
        let content = content(4 * PIECE + 5);
        assert_eq!(packed(&content), packed(&content));
    }

    #[test]
    fn whatever_fails_ends_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
        }
        let source = io::repeat(7).take(40 * PIECE as u64).chain(Broken);
        let error = gzip(source, &mut io::sink()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = gzip(io::repeat(7).take(1 << 30), &mut Full(3)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
