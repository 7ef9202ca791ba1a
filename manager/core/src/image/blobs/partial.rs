//! Blobs that are on their way here: what came of one is kept when its download ends early, and the
//! next download of the same blob goes on from there.
//!
//! A download does not sync: after a power cut a part may hold anything. So what is there is hashed
//! before more is added, and what does not come to its digest in the end is fetched anew.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, FlockOperation, fadvise, flock};

use super::parts::Trim;
use super::{Blobs, remove};
use crate::disk::Streamed;
use crate::error::{Error, Result};
use crate::image::digest::{Digest, Hasher};

const BUFFER: usize = 256 << 10;

/// A blob that is being fetched. No one else writes it meanwhile.
pub(crate) struct Partial {
    /// Its lock says that it is being written.
    file: File,
    path: PathBuf,
    hasher: Hasher,
    size: u64,
    streamed: Streamed,
    /// After the file, whose lock goes first.
    _trim: Trim,
}

/// A blob that was fetched whole, but is not in its place. Nobody deletes it until this is dropped.
#[derive(Debug)]
pub(crate) struct Fetched {
    path: PathBuf,
    /// Its lock says that it is needed.
    file: File,
    /// Nobody is to find it later.
    useless: AtomicBool,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Blobs {
    /// What is there of the blob `digest`: nothing, or its beginning. Waits for whoever writes it.
    /// Reads what is there, since it must be hashed; it may be anything after a power cut.
    pub(crate) fn partial(&self, digest: Digest, size: u64) -> Result<Partial> {
        let path = self.parts.path(digest);
        let doing = |error| Error::io(format_args!("open {}", path.display()), error);
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(doing)?;
            flock(&file, FlockOperation::LockExclusive).map_err(|error| doing(error.into()))?;
            // While we waited it may have been moved to its place, or deleted.
            let opened = file.metadata().map_err(doing)?;
            if !path.metadata().is_ok_and(|there| there.ino() == opened.ino()) {
                continue;
            }
            if opened.len() > size {
                file.set_len(0).map_err(doing)?;
            }
            // What is in memory may never have reached a disk that failed: what counts is the disk.
            fadvise(&file, 0, None, Advice::DontNeed).map_err(|error| doing(error.into()))?;
            let (hasher, size) = hash(&mut file).map_err(doing)?;
            let streamed = Streamed::from(size);
            let _trim = Trim(Arc::clone(&self.parts));
            return Ok(Partial { file, path, hasher, size, streamed, _trim });
        }
    }

    /// Moves a blob, which the caller holds, to its place. One that is there already stays.
    pub(crate) fn adopt_fetched(&self, blob: &Fetched) -> Result<()> {
        if self.place(&blob.path, blob.digest, blob.size)? { Ok(()) } else { remove(&blob.path) }
    }
}

impl Partial {
    /// Bytes that are there.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The file once more, to read what is there.
    pub(crate) fn reader(&self) -> Result<File> {
        File::open(&self.path)
            .map_err(|error| Error::io(format_args!("open {}", self.path.display()), error))
    }

    /// Writes the next bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|error| Error::io(format_args!("write {}", self.path.display()), error))?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.streamed.wrote(&self.file, self.size);
        Ok(())
    }

    /// Deletes it.
    pub(crate) fn discard(self) -> Result<()> {
        remove(&self.path)
    }

    /// The blob is whole; none: it is not `digest`, and is deleted.
    pub(crate) fn finish(self, digest: Digest) -> Result<Option<Fetched>> {
        if self.hasher.finish() != digest {
            remove(&self.path)?;
            return Ok(None);
        }
        self.streamed.end(&self.file, self.size);
        let Self { file, path, size, .. } = self;
        Ok(Some(Fetched { path, file, useless: AtomicBool::new(false), digest, size }))
    }
}

impl Fetched {
    /// It has its digest, but is no layer: it is deleted when nobody needs it any more, unless it has
    /// come to its place by then.
    pub(crate) fn discard(&self) {
        self.useless.store(true, Ordering::Relaxed);
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        let own = |there: Metadata| self.file.metadata().is_ok_and(|own| own.ino() == there.ino());
        if self.useless.load(Ordering::Relaxed)
            && self.path.metadata().is_ok_and(own)
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!(%error, "a blob that is of no use stays for a while");
        }
    }
}

fn hash(file: &mut File) -> io::Result<(Hasher, u64)> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; BUFFER];
    file.rewind()?;
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hasher, size)),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_blob_goes_on_where_it_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path(), None).unwrap();
        let digest = Digest::of(b"content");
        let mut first = blobs.partial(digest, 7).unwrap();
        first.write(b"cont").unwrap();
        drop(first);
        blobs.sweep().unwrap();

        let mut second = blobs.partial(digest, 7).unwrap();
        assert_eq!(second.size(), 4);
        second.write(b"ent").unwrap();
        let fetched = second.finish(digest).unwrap().unwrap();
        let _hold = blobs.hold([digest]);
        blobs.adopt_fetched(&fetched).unwrap();
        assert_eq!(blobs.content(digest).unwrap(), b"content");
        assert!(blobs.parts.list().unwrap().is_empty());
    }

    #[test]
    fn what_is_too_long_or_wrong_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path(), None).unwrap();
        let digest = Digest::of(b"content");
        let mut first = blobs.partial(digest, 7).unwrap();
        first.write(b"something longer").unwrap();
        drop(first);
        let mut second = blobs.partial(digest, 7).unwrap();
        assert_eq!(second.size(), 0);
        second.write(b"nothing").unwrap();
        assert!(second.finish(digest).unwrap().is_none());
        assert!(blobs.parts.list().unwrap().is_empty());
    }

    #[test]
    fn what_is_of_no_use_goes_when_nobody_needs_it_and_what_has_its_place_stays() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path(), None).unwrap();
        let digest = Digest::of(b"content");
        let fetch = || {
            let mut partial = blobs.partial(digest, 7).unwrap();
            partial.write(b"content").unwrap();
            partial.finish(digest).unwrap().unwrap()
        };
        let fetched = fetch();
        fetched.discard();
        assert_eq!(blobs.parts.list().unwrap().len(), 1);
        drop(fetched);
        assert!(blobs.parts.list().unwrap().is_empty());
        // Another needs it, though it was of no use to one.
        let fetched = fetch();
        fetched.discard();
        let _hold = blobs.hold([digest]);
        blobs.adopt_fetched(&fetched).unwrap();
        drop(blobs.partial(digest, 7).unwrap());
        drop(fetched);
        assert!(blobs.has(digest, 7));
        assert_eq!(blobs.parts.list().unwrap().len(), 1);
    }

    #[test]
    fn what_is_being_fetched_is_not_swept() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path(), None).unwrap();
        let busy = blobs.partial(Digest::of(b"busy"), 4).unwrap();
        drop(blobs.partial(Digest::of(b"left"), 4).unwrap());
        blobs.parts.sweep(Duration::ZERO).unwrap();
        assert_eq!(blobs.parts.list().unwrap().len(), 1);
        drop(busy);
        // Nor is what was fetched, until it is in its place.
        let mut whole = blobs.partial(Digest::of(b"busy"), 4).unwrap();
        whole.write(b"busy").unwrap();
        let fetched = whole.finish(Digest::of(b"busy")).unwrap().unwrap();
        blobs.parts.sweep(Duration::ZERO).unwrap();
        assert_eq!(blobs.parts.list().unwrap().len(), 1);
        drop(fetched);
        blobs.parts.sweep(Duration::ZERO).unwrap();
        assert!(blobs.parts.list().unwrap().is_empty());
    }
}
