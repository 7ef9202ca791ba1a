//! Blobs that the disk does not give back: they are put aside, since a disk that fails now may give
//! them back later, and there may be no other copy. The next start looks again.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Blobs, list};
use crate::error::Result;
use crate::image::digest::{Digest, Hasher};
use crate::snapshot::delete;

/// What becomes of a blob that is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is not what its digest says.
    Deleted,
    /// Nobody knows what it is.
    PutAside,
}

impl Blobs {
    /// Takes the blob that was read from `file` from its place, if it is still there: a good one may
    /// have come in between.
    pub(super) fn give_up(&self, digest: Digest, file: &File, fate: Fate) {
        let path = self.path(digest);
        let taken = {
            let _one_at_a_time = self.lock();
            if !is_at(&path, file) {
                return;
            }
            let aside = match fate {
                Fate::Deleted => self.passing(),
                Fate::PutAside => super::Passing(self.aside.join(digest.hex())),
            };
            // A disk that is full may have no room for another name.
            let moved = std::fs::rename(&path, &aside.0).or_else(|_| delete::anything(&path));
            moved.map(|()| aside)
        };
        tracing::error!(path = %path.display(), ?fate, "a blob is no good");
        let outcome = match taken {
            // A large one takes its time, for which nobody else has to wait.
            Ok(aside) if fate == Fate::Deleted => delete::anything(&aside.0),
            Ok(aside) => {
                std::mem::forget(aside);
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::error!(path = %path.display(), %error, "it stays");
        }
    }

    /// Puts those back that the disk gives back now.
    pub(super) fn look_again(&self) -> Result<()> {
        for path in list(&self.aside)? {
            let Some(digest) = digest_of(&path) else { continue };
            if self.path(digest).exists() || !is_whole(&path, digest) {
                continue;
            }
            match std::fs::rename(&path, self.path(digest)) {
                Ok(()) => tracing::info!(%digest, "the disk gives a blob back again"),
                Err(error) => tracing::warn!(%digest, %error, "a blob stays aside"),
            }
        }
        Ok(())
    }

    /// Deletes what lies aside of a blob that is there again.
    pub(super) fn drop_aside(&self, digest: Digest) {
        let path = self.aside.join(digest.hex());
        if let Err(error) = delete::anything(&path) {
            tracing::warn!(path = %path.display(), %error, "a damaged blob stays");
        }
    }

    /// Whether a blob that lies aside is of no use any more.
    pub(super) fn is_done_with(&self, aside: &Path) -> bool {
        digest_of(aside).is_none_or(|digest| !self.holds.is_held(&digest))
    }
}

/// Whether `file` is what `path` names.
fn is_at(path: &Path, file: &File) -> bool {
    let (Ok(named), Ok(read)) = (path.metadata(), file.metadata()) else { return false };
    (named.dev(), named.ino()) == (read.dev(), read.ino())
}

fn digest_of(path: &Path) -> Option<Digest> {
    path.file_name().and_then(|name| Digest::from_hex(name.to_str()?))
}

fn is_whole(path: &PathBuf, digest: Digest) -> bool {
    let hash = || -> io::Result<Digest> {
        let (mut file, mut hasher) = (File::open(path)?, Hasher::default());
        let mut buffer = vec![0; super::checked::BUFFER];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&buffer[..count]),
            }
        }
    };
    hash().is_ok_and(|found| found == digest)
}
