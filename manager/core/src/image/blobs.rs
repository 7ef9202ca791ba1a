//! The content-addressed store: `blobs/sha256/<hex>`, filled by way of `ingest/`.
//!
//! A blob is written under a passing name while its digest is computed, and moved to its own name
//! when it is whole. It counts as there once a record names it, and the record is written after
//! a sync of the disk; what no record names is swept. What comes from a registry is written below
//! `partial/` instead, under the digest that it is to have, so that it can go on where it stopped.

mod aside;
mod checked;
mod partial;
mod parts;

use std::collections::HashSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::digest::{Digest, Hasher};
use super::image::Blob;
use crate::disk::Streamed;
use crate::error::{Error, Result};
use crate::snapshot::{Hold, Holds, delete, private_directory};

pub(crate) use partial::{Fetched, Partial};
pub(crate) use parts::{KEPT, Parts};

/// The blobs of one manager.
pub(crate) struct Blobs {
    root: PathBuf,
    ingest: PathBuf,
    /// What the disk does not give back.
    aside: PathBuf,
    /// Blobs that come from registries, as far as they are there.
    parts: Arc<Parts>,
    next: AtomicU64,
    holds: Arc<Holds<Digest>>,
    /// Held while a blob comes to its place or is taken from it.
    changes: Mutex<()>,
}

/// A blob that is being written; dropped, it is deleted.
pub(crate) struct Ingest {
    file: File,
    path: Passing,
    /// None: someone else hashes the same bytes.
    hasher: Option<Hasher>,
    size: u64,
    streamed: Streamed,
}

/// A blob that is written, but not in its place; dropped, it is deleted.
pub(crate) struct Ingested {
    path: Passing,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its bytes.
    pub(crate) size: u64,
}

/// A file under `ingest/`, deleted when dropped.
struct Passing(PathBuf);

impl Blobs {
    /// Opens the store under `data_root`, in which parts of blobs may take so many bytes, if there is
    /// a limit.
    pub(crate) fn open(data_root: &Path, most_parts: Option<u64>) -> Result<Self> {
        let root = data_root.join("blobs").join("sha256");
        let ingest = data_root.join("ingest");
        private_directory(&root)?;
        let aside = data_root.join("damaged");
        private_directory(&ingest)?;
        private_directory(&aside)?;
        let parts = Arc::new(Parts::open(data_root.join("partial"), most_parts)?);
        let (next, changes) = (AtomicU64::new(0), Mutex::new(()));
        let blobs = Self { root, ingest, aside, parts, next, holds: Holds::new(), changes };
        blobs.look_again()?;
        Ok(blobs)
    }

    /// The directory in which they are.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps these blobs, there or still to come, from being collected.
    pub(crate) fn hold(&self, digests: impl IntoIterator<Item = Digest>) -> Hold<Digest> {
        self.holds.hold(digests)
    }

    /// Begins a new blob.
    pub(crate) fn create(&self) -> Result<Ingest> {
        let path = self.passing();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path.0);
        let file =
            file.map_err(|error| Error::io(format_args!("create {}", path.0.display()), error))?;
        let (hasher, streamed) = (Some(Hasher::default()), Streamed::default());
        Ok(Ingest { file, path, hasher, size: 0, streamed })
    }

    /// Stores a small blob.
    pub(crate) fn add(&self, content: &[u8]) -> Result<Ingested> {
        let mut ingest = self.create()?;
        ingest.write_all(content).map_err(|error| ingest.failed(error))?;
        Ok(ingest.finish())
    }

    /// Moves a blob, which the caller holds, to its place. One that is there already stays.
    pub(crate) fn adopt(&self, blob: &Ingested) -> Result<()> {
        self.place(&blob.path.0, blob.digest, blob.size).map(drop)
    }

    /// Moves the file `from` to a blob's place; false: the blob is there already.
    fn place(&self, from: &Path, digest: Digest, size: u64) -> Result<bool> {
        let _one_at_a_time = self.lock();
        if self.is_placed(digest, size) {
            return Ok(false);
        }
        std::fs::rename(from, self.path(digest))
            .map_err(|error| Error::io(format_args!("store the blob {digest}"), error))?;
        self.drop_aside(digest);
        Ok(true)
    }

    /// Whether the blob is there, with that size. Who wants it to stay holds it first: then a
    /// collection either sees that, or has taken the blob away before this looks.
    pub(crate) fn has(&self, digest: Digest, size: u64) -> bool {
        let _one_at_a_time = self.lock();
        self.is_placed(digest, size)
    }

    /// The same for whoever must not take it for gone because the disk fails.
    ///
    /// # Errors
    /// It can't be told.
    pub(crate) fn is_there(&self, digest: Digest, size: u64) -> Result<bool> {
        match self.path(digest).metadata() {
            Ok(there) => Ok(there.is_file() && there.len() == size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io(format_args!("look at the blob {digest}"), error)),
        }
    }

    fn is_placed(&self, digest: Digest, size: u64) -> bool {
        self.path(digest).metadata().is_ok_and(|there| there.is_file() && there.len() == size)
    }

    /// Opens a blob.
    pub(crate) fn read(&self, digest: Digest) -> Result<File> {
        File::open(self.path(digest))
            .map_err(|error| Error::io(format_args!("open the blob {digest}"), error))
    }

    /// All of a small blob, with its digest checked.
    pub(crate) fn content(&self, digest: Digest) -> Result<Vec<u8>> {
        let (mut file, mut content) = (self.read(digest)?, Vec::new());
        file.read_to_end(&mut content).map_err(|error| self.unread(digest, &file, error))?;
        if Digest::of(&content) != digest {
            return Err(self.damaged(digest, &file));
        }
        Ok(content)
    }

    /// All of a small blob, if it is what its digest says. It stays where it is, whatever it is.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) fn as_it_is(&self, digest: Digest) -> Result<Option<Vec<u8>>> {
        let path = self.path(digest);
        let content = std::fs::read(&path)
            .map_err(|error| Error::io(format_args!("read {}", path.display()), error))?;
        Ok((Digest::of(&content) == digest).then_some(content))
    }

    /// All of a blob, if it is there and not longer than `limit`.
    pub(crate) fn small(&self, digest: Digest, limit: u64) -> Option<Vec<u8>> {
        let small = self.path(digest).metadata().is_ok_and(|there| there.len() <= limit);
        small.then(|| self.content(digest).ok()).flatten()
    }

    /// Deletes released blobs that nobody holds. What can't be deleted is tried again next time.
    pub(crate) fn collect(&self) -> Result<()> {
        let mut outcome = Ok(());
        for digest in self.holds.take_released() {
            let deleted = match self.put_aside(digest) {
                // A large one takes its time, for which nobody else has to wait.
                Ok(Some(aside)) => remove(&aside.0),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = deleted {
                self.holds.release_again(digest);
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Takes a blob from its place, if nobody holds it.
    fn put_aside(&self, digest: Digest) -> Result<Option<Passing>> {
        let _one_at_a_time = self.lock();
        if self.holds.is_held(&digest) {
            return Ok(None);
        }
        let aside = self.passing();
        match std::fs::rename(self.path(digest), &aside.0) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // A disk that is full may have no room for another name.
            Err(_) => remove(&self.path(digest)).map(|()| None),
        }
    }

    /// A name that no other file has.
    fn passing(&self) -> Passing {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Passing(self.ingest.join(number.to_string()))
    }

    /// Deletes every blob that nobody holds, and all that was not written to its end. What can't be
    /// deleted stays, and is said.
    pub(crate) fn sweep(&self) -> Result<()> {
        for path in list(&self.ingest)?.into_iter().chain(list(&self.root)?) {
            let digest = path.file_name().and_then(|name| Digest::from_hex(name.to_str()?));
            let stored = path.parent() == Some(&self.root);
            if !(stored && digest.is_some_and(|digest| self.holds.is_held(&digest))) {
                tracing::info!(path = %path.display(), "deleting an unused blob");
                if let Err(error) = delete::anything(&path) {
                    tracing::warn!(path = %path.display(), %error, "an unused blob stays");
                }
            }
        }
        for path in list(&self.aside)?.into_iter().filter(|path| self.is_done_with(path)) {
            if let Err(error) = delete::anything(&path) {
                tracing::warn!(path = %path.display(), %error, "a damaged blob stays");
            }
        }
        self.parts.sweep(KEPT).map(drop)
    }

    /// What came of blobs whose downloads have ended early.
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Bytes on the disk of a blob, if it is there.
    pub(crate) fn on_disk(&self, digest: Digest) -> u64 {
        self.path(digest).metadata().map_or(0, |there| disk_bytes(&there))
    }

    /// Bytes on the disk of what is on its way to be a blob, or was one.
    pub(crate) fn under_way_on_disk(&self) -> Result<u64> {
        let paths = list(&self.ingest)?.into_iter().chain(self.parts.list()?);
        let paths = paths.chain(list(&self.aside)?);
        Ok(paths.filter_map(|path| path.metadata().ok()).map(|there| disk_bytes(&there)).sum())
    }

    /// Where a blob is, if it is there.
    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        self.root.join(digest.hex())
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ingest {
    /// The blob is whole.
    pub(crate) fn finish(mut self) -> Ingested {
        let digest = self.hasher.take().unwrap_or_default().finish();
        self.ended(digest)
    }

    /// Leaves the hashing of what comes to someone else; before the first byte.
    pub(crate) fn leave_hashing(&mut self) {
        self.hasher = None;
    }

    /// The blob is whole; `digest` is that of its content, should it have been hashed elsewhere.
    pub(crate) fn finish_hashed(self, digest: Digest) -> Ingested {
        match self.hasher {
            Some(_) => self.finish(),
            None => self.ended(digest),
        }
    }

    fn ended(self, digest: Digest) -> Ingested {
        self.streamed.end(&self.file, self.size);
        Ingested { path: self.path, digest, size: self.size }
    }

    /// Says what a failed write was about.
    pub(crate) fn failed(&self, error: io::Error) -> Error {
        Error::io(format_args!("write {}", self.path.0.display()), error)
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..count]);
        }
        self.size += count as u64;
        self.streamed.wrote(&self.file, self.size);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Ingested {
    /// Describes it as a blob of this type.
    pub(crate) fn describe(&self, media_type: &str) -> Blob {
        Blob { digest: self.digest, size: self.size, media_type: media_type.to_owned() }
    }

    /// Opens it, wherever it is by now.
    pub(crate) fn read(&self, blobs: &Blobs) -> Result<File> {
        match File::open(&self.path.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => blobs.read(self.digest),
            opened => opened
                .map_err(|error| Error::io(format_args!("open {}", self.path.0.display()), error)),
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // Where it was moved away, there is nothing to delete; what stays is swept at the start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a file takes, in whole blocks.
fn disk_bytes(file: &Metadata) -> u64 {
    file.blocks() * 512
}

fn list(directory: &Path) -> Result<HashSet<PathBuf>> {
    let failed = |error| Error::io(format_args!("list {}", directory.display()), error);
    let entries = std::fs::read_dir(directory).map_err(failed)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format_args!("delete {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_there_once_under_its_digest() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path(), None).unwrap();
        let first = blobs.add(b"content").unwrap();
        let second = blobs.add(b"content").unwrap();
        assert_eq!(first.digest, Digest::of(b"content"));
        let hold = blobs.hold([first.digest]);
        blobs.adopt(&first).unwrap();
        blobs.adopt(&second).unwrap();
        let digest = first.digest;
        drop((first, second));
        assert_eq!(blobs.content(digest).unwrap(), b"content");
        assert!(list(&blobs.ingest).unwrap().is_empty());
        blobs.collect().unwrap();
        assert!(blobs.has(digest, 7));
        drop(hold);
        blobs.collect().unwrap();
        assert!(!blobs.has(digest, 7));
    }

    #[test]
    fn a_sweep_leaves_what_is_held() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path(), None).unwrap();
        let (kept, lost) = (blobs.add(b"kept").unwrap(), blobs.add(b"lost").unwrap());
        let _hold = blobs.hold([kept.digest]);
        blobs.adopt(&kept).unwrap();
        blobs.adopt(&lost).unwrap();
        std::fs::write(blobs.ingest.join("77"), "half").unwrap();
        blobs.sweep().unwrap();
        assert_eq!(list(&blobs.root).unwrap().len(), 1);
        assert!(list(&blobs.ingest).unwrap().is_empty());
        assert!(blobs.has(kept.digest, 4));
    }
}
