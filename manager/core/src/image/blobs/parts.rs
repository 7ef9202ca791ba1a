//! What came of blobs whose downloads ended early: it is kept for a day, as far as there is room, so
//! that the next download goes on from there.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::{disk_bytes, list, remove};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::snapshot::{delete, private_directory};

/// How long the beginning of a blob is kept that nobody asks for again.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// `partial/`, with a file for each.
pub(crate) struct Parts {
    directory: PathBuf,
    /// How many bytes of the disk they may take that nobody fetches now.
    most: Option<u64>,
}

/// Deletes what is too much when a download has ended.
pub(super) struct Trim(pub(super) Arc<Parts>);

impl Drop for Trim {
    fn drop(&mut self) {
        if let Err(error) = self.0.trim() {
            tracing::warn!(%error, "parts of blobs stay");
        }
    }
}

/// A part that nobody fetches, as long as this lives.
struct Idle {
    path: PathBuf,
    there: Metadata,
    /// Its lock says that it is about to be deleted.
    _file: File,
}

impl Parts {
    pub(super) fn open(directory: PathBuf, most: Option<u64>) -> Result<Self> {
        private_directory(&directory)?;
        Ok(Self { directory, most })
    }

    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(digest.hex())
    }

    pub(super) fn list(&self) -> Result<HashSet<PathBuf>> {
        list(&self.directory)
    }

    /// Deletes those that nobody fetches now or has fetched for so long, and what is too much; gives
    /// their bytes.
    pub(crate) fn sweep(&self, older: Duration) -> Result<u64> {
        let mut freed = 0;
        for path in self.list()? {
            let Some(idle) = Idle::open(&path) else { continue };
            let age = idle.modified().elapsed();
            // One of the future is of a clock that was wrong.
            if !age.is_ok_and(|age| age < older) {
                freed += idle.delete();
            }
        }
        Ok(freed + self.trim()?)
    }

    /// Deletes those that were fetched the longest ago, until the others are no more than may be
    /// kept; gives their bytes.
    fn trim(&self) -> Result<u64> {
        let Some(most) = self.most else { return Ok(0) };
        let mut idle: Vec<Idle> = self.list()?.iter().filter_map(|path| Idle::open(path)).collect();
        idle.sort_by_key(Idle::modified);
        let mut total: u64 = idle.iter().map(|idle| disk_bytes(&idle.there)).sum();
        let mut freed = 0;
        for idle in idle {
            if total <= most {
                break;
            }
            total -= disk_bytes(&idle.there);
            freed += idle.delete();
        }
        Ok(freed)
    }

    /// Deletes one that nobody is going to fetch: who did may just be about to end.
    pub(crate) fn drop_one(&self, digest: Digest) -> Result<()> {
        let path = self.path(digest);
        let Ok(file) = File::open(&path) else { return Ok(()) };
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|errno| Error::io(format_args!("lock {}", path.display()), errno.into()))?;
        // While this waited it may have come to its place, and another one begun.
        let is_it = |there: Metadata| file.metadata().is_ok_and(|own| own.ino() == there.ino());
        if path.metadata().is_ok_and(is_it) { remove(&path) } else { Ok(()) }
    }
}

impl Idle {
    /// None: it is being fetched, or gone.
    fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let there = file.metadata().ok()?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Self { path: path.to_owned(), there, _file: file })
    }

    fn modified(&self) -> SystemTime {
        self.there.modified().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Gives its bytes, if it could be deleted.
    fn delete(self) -> u64 {
        tracing::info!(path = %self.path.display(), "deleting a part of a blob");
        match delete::anything(&self.path) {
            Ok(()) => self.there.len(),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "a part of a blob stays");
                0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::blobs::Blobs;

    #[test]
    fn what_was_fetched_the_longest_ago_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path(), Some(100 << 10)).unwrap();
        let names: Vec<Digest> = (0..4_u8).map(|number| Digest::of(&[number])).collect();
        let busy = blobs.partial(names[0], 1 << 20).unwrap();
        let now = SystemTime::now();
        for (number, digest) in names[1..].iter().enumerate() {
            let mut part = blobs.partial(*digest, 1 << 20).unwrap();
            part.write(&[7; 40 << 10]).unwrap();
            let file = File::options().write(true).open(blobs.parts().path(*digest)).unwrap();
            file.set_modified(now - Duration::from_secs(10 - number as u64)).unwrap();
        }
        let there = |digest: &Digest| blobs.parts().path(*digest).exists();
        assert!(!there(&names[1]), "the first of them is one too many");
        assert!(names[2..].iter().all(there));
        // What is being fetched is no cache, however much it is.
        let mut large = busy;
        large.write(&vec![7; 500 << 10]).unwrap();
        assert!(names[2..].iter().all(there) && there(&names[0]));
        drop(large);
        assert_eq!(blobs.parts().list().unwrap().len(), 0, "it alone is too much");
    }

    #[test]
    fn one_is_dropped_when_who_fetched_it_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path(), None).unwrap();
        let digest = Digest::of(b"content");
        let busy = blobs.partial(digest, 7).unwrap();
        std::thread::scope(|scope| {
            let dropping = scope.spawn(|| blobs.parts().drop_one(digest));
            assert!(blobs.parts().path(digest).exists());
            drop(busy);
            dropping.join().unwrap().unwrap();
        });
        assert!(blobs.parts().list().unwrap().is_empty());
        blobs.parts().drop_one(digest).unwrap();
    }
}
