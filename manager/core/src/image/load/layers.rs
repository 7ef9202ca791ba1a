//! The layers of an archive that are not here yet are unpacked, several at once.
//!
//! They are begun in the order in which they stand upon one another, so that one which needs a
//! layer below it only ever waits for what was begun before.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::mpsc;

use super::found::FoundImage;
use super::reported::Reported;
use super::spool::Spooled;
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::Progress;
use crate::image::archive::unreadable;
use crate::image::catalog::Catalog;
use crate::image::compression::Compression;
use crate::image::digest::{ChainId, DiffId, Digest, Hasher};
use crate::image::image::Layer;
use crate::snapshot::{Expected, Lower, NewLayer, Promise, promise};
use crate::threads;

/// Bytes of a blob that are read at once.
const BUFFER: usize = 256 << 10;

/// The layers of some images, unpacked.
pub(super) struct Unpacked {
    /// Those that are to be recorded.
    pub(super) new: HashMap<ChainId, NewLayer>,
    /// How each blob turned out to be compressed.
    media_types: HashMap<Digest, &'static str>,
}

/// What there is to do for a blob.
struct Job {
    blob: Spooled,
    diff_id: DiffId,
    chain: ChainId,
    below: Option<ChainId>,
    /// Its place in its image, for people.
    position: usize,
    task: Task,
}

enum Task {
    /// Unpack it upon these, uppermost first.
    Unpack { stack: Vec<Lower>, promise: Promise },
    /// Its layer is here: make sure that it is the same.
    Verify,
}

/// What a job made.
struct Done {
    blob: Digest,
    media_type: &'static str,
    new: Option<NewLayer>,
}

impl Catalog {
    /// Unpacks the layers of `images` that are not here.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for what isn't the layer that it is said to be.
    pub(super) fn unpack_layers(
        &self,
        images: &[FoundImage],
        progress: &mpsc::Sender<Progress>,
        given_up: &GivenUp,
    ) -> Result<Unpacked> {
        let jobs = self.jobs(images);
        let workers = thread::available_parallelism().map_or(1, NonZero::get).min(jobs.len());
        let queue = Mutex::new(jobs.into_iter().enumerate().collect::<VecDeque<_>>());
        let outcomes = Mutex::new(Vec::new());
        let work = || {
            while let Some((number, job)) = pop(&queue) {
                let outcome = self.work(job, progress, given_up);
                if outcome.is_err() {
                    // What has not begun need not.
                    lock(&queue).clear();
                }
                lock(&outcomes).push((number, outcome));
            }
        };
        thread::scope(|scope| {
            for _ in 1..workers {
                // One that can't be had is not missed: this one does it all, if it must.
                let _ = threads::start(scope, "layers", work);
            }
            work();
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The first failure is the cause of those above it.
        outcomes.sort_by_key(|(number, _)| *number);
        let mut unpacked = Unpacked { new: HashMap::new(), media_types: HashMap::new() };
        for (_, outcome) in outcomes {
            let Done { blob, media_type, new } = outcome?;
            unpacked.media_types.insert(blob, media_type);
            unpacked.new.extend(new.map(|new| (new.chain, new)));
        }
        Ok(unpacked)
    }

    /// What there is to do, lower layers first, nothing twice.
    fn jobs(&self, images: &[FoundImage]) -> Vec<Job> {
        let mut coming: HashMap<ChainId, Expected> = HashMap::new();
        let mut known: HashSet<(ChainId, Digest)> = HashSet::new();
        let mut jobs = Vec::new();
        for image in images {
            let mut below = None;
            let mut stack: Vec<Lower> = Vec::new();
            let layers = image.layers.iter().zip(&image.parsed.rootfs.diff_ids);
            for (position, (blob, diff_id)) in layers.enumerate() {
                let chain = ChainId::extend(below, *diff_id);
                let here = self.layers.find(chain).map(|record| Lower::from(record.snapshot()));
                let there = here.or_else(|| coming.get(&chain).cloned().map(Lower::Coming));
                let (lower, task) = match there {
                    Some(lower) => (lower, Task::Verify),
                    None => {
                        let (promise, expected) = promise();
                        coming.insert(chain, expected.clone());
                        let stack = stack.clone();
                        (Lower::Coming(expected), Task::Unpack { stack, promise })
                    }
                };
                stack.insert(0, lower);
                if known.insert((chain, blob.digest)) {
                    let (blob, diff_id) = (blob.clone(), *diff_id);
                    jobs.push(Job { blob, diff_id, chain, below, position, task });
                }
                below = Some(chain);
            }
        }
        jobs
    }

    fn work(
        &self,
        job: Job,
        progress: &mpsc::Sender<Progress>,
        given_up: &GivenUp,
    ) -> Result<Done> {
        let Job { blob, diff_id, chain, below, position, task } = job;
        let open = || -> Result<_> {
            let source = blob.open(&self.blobs)?;
            Ok(Reported::new(source, diff_id, blob.size, progress.clone()))
        };
        // Uncompressed, it was hashed when it came in.
        let plain = blob.digest == diff_id.digest();
        let in_layer = |error: Error| error.while_doing(format_args!("layer {position}"));
        let (compression, digest, new) = match task {
            Task::Unpack { stack, promise } => {
                let known = plain.then_some(blob.digest);
                let done = self.layers.unpack(stack, open()?, known, given_up);
                let done = done.map_err(in_layer)?;
                (done.compression, done.digest, Some((done.outcome, promise)))
            }
            Task::Verify if plain => (Compression::None, blob.digest, None),
            Task::Verify => {
                let (compression, digest) =
                    self.digest_of_content(open()?, given_up).map_err(in_layer)?;
                (compression, digest, None)
            }
        };
        check(diff_id, DiffId(digest), position)?;
        let media_type = media_type(compression, position)?;
        let new = new.map(|(unpacked, promise)| {
            promise.keep(unpacked.snapshot());
            NewLayer { chain, below, diff_id, unpacked: Arc::new(unpacked) }
        });
        Ok(Done { blob: blob.digest, media_type, new })
    }

    /// The digest of what a blob is, uncompressed.
    fn digest_of_content(
        &self,
        blob: impl Read + Send + 'static,
        given_up: &GivenUp,
    ) -> Result<(Compression, Digest)> {
        let mut blob = BufReader::with_capacity(BUFFER, blob);
        let compression = Compression::detect(blob.fill_buf().map_err(unreadable)?)?;
        let mut content = self.layers.uncompressed(blob, compression, given_up)?;
        let mut hasher = Hasher::default();
        loop {
            let piece = content.fill_buf().map_err(unreadable)?;
            if piece.is_empty() {
                return Ok((compression, hasher.finish()));
            }
            hasher.update(piece);
            let count = piece.len();
            content.consume(count);
        }
    }
}

impl Unpacked {
    /// The layers of an image, lowest first.
    ///
    /// # Errors
    /// If one of those that were here is gone, though it is held.
    pub(super) fn layers(&self, image: &FoundImage, catalog: &Catalog) -> Result<Vec<Layer>> {
        let mut below = None;
        let layers = image.layers.iter().zip(&image.parsed.rootfs.diff_ids);
        let layers = layers.map(|(blob, diff_id)| {
            let chain_id = ChainId::extend(below, *diff_id);
            below = Some(chain_id);
            let new = self.new.get(&chain_id).map(|new| new.unpacked.size);
            let here = || catalog.layers.find(chain_id).map(|record| record.size);
            let media_type = self.media_types.get(&blob.digest);
            let (Some(size), Some(media_type)) = (new.or_else(here), media_type) else {
                return Err(Error::system(format!("the layer {chain_id} is gone")));
            };
            Ok(Layer { diff_id: *diff_id, chain_id, blob: blob.describe(media_type), size })
        });
        layers.collect()
    }
}

fn pop(queue: &Mutex<VecDeque<(usize, Job)>>) -> Option<(usize, Job)> {
    lock(queue).pop_front()
}

/// What a panic elsewhere left is whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn media_type(compression: Compression, position: usize) -> Result<&'static str> {
    compression.layer_media_type().ok_or_else(|| {
        Error::unsupported(format!("layer {position}, compressed by something but gzip or zstd,"))
    })
}

fn check(expected: DiffId, actual: DiffId, position: usize) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "invalid diffID for layer {position}: expected \"{expected}\", got \"{actual}\""
    )))
}
