//! One layer's blob on its way from the registry to the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};

use super::flights::Flight;
use super::growing::{Growing, Writer};
use super::{Transfers, Work};
use crate::error::{Error, Kind, Result};
use crate::image::blobs::{Fetched, Partial};
use crate::image::catalog::Catalog;
use crate::registry::{Session, Sink, Wanted};

/// Pieces that may wait for the disk.
const DEPTH: usize = 32;

/// A download as everyone sees it who waits for it.
pub(super) struct Download {
    /// What is there of the blob.
    pub(super) content: Arc<Growing>,
    pub(super) state: watch::Receiver<Transfer>,
    pub(super) blob: Wanted,
    /// What it comes by.
    session: Arc<Session>,
    fetched: Arc<OnceLock<Fetched>>,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    Waiting,
    Running { current: u64 },
    Retrying { seconds: u64 },
    Verifying,
}

impl Download {
    /// Whether another pull began it, perhaps from another registry.
    pub(super) fn is_foreign_to(&self, work: &Work<'_>) -> bool {
        !Arc::ptr_eq(&self.session, &work.session)
    }

    /// The blob, once the download is done.
    pub(super) fn fetched(&self) -> Option<&Fetched> {
        self.fetched.get()
    }
}

impl Transfers {
    /// Fetches a blob, or waits for who fetches it already.
    pub(super) fn download(&self, work: &Work<'_>, blob: Wanted) -> Arc<Flight<Download>> {
        self.downloads.join((blob.digest, blob.size), || {
            let (tell, state) = watch::channel(Transfer::Waiting);
            let content = Arc::new(Growing::default());
            let fetched = Arc::new(OnceLock::new());
            let job = Job {
                catalog: Arc::clone(&work.images.catalog),
                session: Arc::clone(&work.session),
                permits: self.permits.load_full(),
                blob,
                tell,
                fetched: Arc::clone(&fetched),
                no_room: work.no_room(),
            };
            let writer = Writer::new(Arc::clone(&content));
            let session = Arc::clone(&work.session);
            (Download { content, state, blob, session, fetched }, job.run(writer))
        })
    }
}

struct Job {
    catalog: Arc<Catalog>,
    session: Arc<Session>,
    permits: Arc<Semaphore>,
    blob: Wanted,
    tell: watch::Sender<Transfer>,
    fetched: Arc<OnceLock<Fetched>>,
    /// The pull that began it has found the disk too small.
    no_room: Arc<AtomicBool>,
}

impl Job {
    async fn run(self, mut writer: Writer) -> Result<()> {
        let closed = |_| Error::system("downloads have ended");
        let _permit = self.permits.acquire().await.map_err(closed)?;
        let Wanted { digest, size } = self.blob;
        let catalog = Arc::clone(&self.catalog);
        let look = move || {
            let there = catalog.blobs.has(digest, size);
            there.then(|| catalog.blobs.read(digest)).transpose()
        };
        if let Some(file) = joined(tokio::task::spawn_blocking(look).await)? {
            // Another image has it, upon other layers.
            writer.show(&Arc::new(file), size);
            writer.whole();
            return Ok(());
        }
        loop {
            let (partial, began);
            (partial, writer, began) = self.fill(writer).await?;
            self.tell.send_replace(Transfer::Verifying);
            let file = Arc::new(partial.reader()?);
            if let Some(fetched) = partial.finish(digest)? {
                writer.show(&file, fetched.size);
                writer.whole();
                let _ = self.fetched.set(fetched);
                return Ok(());
            }
            // What an earlier download left may have been damaged; what comes now is not ours.
            if began == 0 {
                return Err(Error::system(format!(
                    "filesystem layer verification failed for digest {digest}"
                )));
            }
            tracing::warn!(%digest, "what was kept of a blob is damaged; fetching it anew");
        }
    }

    /// Fetches what is missing of the blob; says where it began.
    async fn fill(&self, writer: Writer) -> Result<(Partial, Writer, u64)> {
        let (catalog, blob) = (Arc::clone(&self.catalog), self.blob);
        let no_room = Arc::clone(&self.no_room);
        let opening = move || {
            let partial = catalog.blobs.partial(blob.digest, blob.size)?;
            // Looked at when the file is there: who sets it deletes the files that are there then.
            if no_room.load(Ordering::SeqCst) {
                drop(partial);
                catalog.blobs.parts().drop_one(blob.digest)?;
                return Err(Error::new(Kind::Exhausted, "no space left on device"));
            }
            Ok(partial)
        };
        let partial = joined(tokio::task::spawn_blocking(opening).await)?;
        let began = partial.size();
        self.tell.send_replace(Transfer::Running { current: began });
        let (sender, pieces) = mpsc::channel(DEPTH);
        let writing = tokio::task::spawn_blocking(move || write(partial, writer, pieces));
        let feed = Feed { sender, current: began, tell: &self.tell };
        let fetched = self.session.fetch(blob, began, feed).await;
        // If the disk failed, that is why nobody took what came.
        let (partial, writer) = joined(writing.await)?;
        fetched?;
        Ok((partial, writer, began))
    }
}

/// Hands on what comes, and tells how far it is.
struct Feed<'a> {
    sender: mpsc::Sender<Bytes>,
    current: u64,
    tell: &'a watch::Sender<Transfer>,
}

impl Sink for Feed<'_> {
    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        self.current += bytes.len() as u64;
        self.tell.send_replace(Transfer::Running { current: self.current });
        self.sender.take(bytes).await
    }

    fn waiting(&mut self, wait: Duration) {
        self.tell.send_replace(Transfer::Retrying { seconds: wait.as_secs() });
    }
}

/// Writes what comes until nothing comes any more. What an earlier download left is shown to
/// nobody before its digest is known to be right.
fn write(
    mut partial: Partial,
    writer: Writer,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<(Partial, Writer)> {
    let fresh = partial.size() == 0;
    let file = Arc::new(partial.reader()?);
    while let Some(piece) = pieces.blocking_recv() {
        if let Err(error) = partial.write(&piece) {
            // What is there already takes the room that is missing.
            partial.discard()?;
            return Err(error);
        }
        if fresh {
            writer.show(&file, partial.size());
        }
    }
    Ok((partial, writer))
}

fn joined<T>(outcome: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    outcome.map_err(|error| Error::system("a download's task died").caused_by(error))?
}
