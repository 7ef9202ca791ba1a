//! What whoever unpacks a layer asks about those below it.

use std::collections::BTreeSet;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::Timespec;
use serde::{Deserialize, Serialize};

use super::unpack::metadata;
use crate::error::{Error, Result};

/// The layers below the one that is unpacked, seen as one. An answer may have to wait for a layer
/// that is itself being unpacked.
pub(crate) trait Lookup: Sync {
    /// Whether there are none.
    fn is_empty(&self) -> bool;

    /// What they have at the plain path `path`; the root's is empty.
    fn find(&self, path: &[u8]) -> Result<Below>;

    /// The names in their root.
    fn names(&self) -> Result<BTreeSet<Vec<u8>>>;
}

/// What has nothing below it.
pub(crate) struct Alone;

impl Lookup for Alone {
    fn is_empty(&self) -> bool {
        true
    }

    fn find(&self, _: &[u8]) -> Result<Below> {
        Ok(Below::Nothing)
    }

    fn names(&self) -> Result<BTreeSet<Vec<u8>>> {
        Ok(BTreeSet::new())
    }
}

/// What the lower layers together have at a path.
#[derive(Debug)]
pub(crate) enum Below {
    /// A directory.
    Directory(Likeness),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A regular file, and where to read its content.
    File(Likeness, OwnedFd),
    /// Nothing, nothing that is seen, or nothing of use here.
    Nothing,
}

/// All that makes something like another one, but for its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Likeness {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    seconds: i64,
    nanoseconds: i64,
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Likeness {
    /// That of what is open.
    pub(super) fn of(original: BorrowedFd<'_>) -> Result<Self> {
        let stat = rustix::fs::fstat(original)
            .map_err(|errno| Error::io("look at the layers below", errno.into()))?;
        let modified = metadata::modified(&stat);
        Ok(Self {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            seconds: modified.tv_sec,
            nanoseconds: modified.tv_nsec,
            attributes: metadata::attributes(original)?,
        })
    }

    /// When it last changed.
    pub(crate) fn modified(&self) -> Timespec {
        Timespec { tv_sec: self.seconds, tv_nsec: self.nanoseconds }
    }
}
