//! A tree that is being made: an old one that is changed, or a new one beside it.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use tare_core::Kind;
use tare_proto::builds::fsutil::types::Stat;

use super::entry::{FileKind, split};
use super::target::Target;
use crate::error::{Error, Result};
use crate::session::contexts::{Index, Place};

/// The tree.
pub(super) struct Work {
    place: Place,
    target: Target,
    kind: WorkKind,
}

enum WorkKind {
    /// A new one. Files that are the same come from there, if there is anything.
    New(Option<Target>),
    /// An old one, in whose directories of these paths something was changed.
    Changed(HashSet<Vec<u8>>),
}

impl Work {
    /// A new tree in `place`, with what is the same from `from`.
    pub(super) fn new(place: Place, from: Option<OwnedFd>) -> Result<Self> {
        let target = Target::new(place.root()?);
        Ok(Self { place, target, kind: WorkKind::New(from.map(Target::new)) })
    }

    /// The old tree in `place`.
    pub(super) fn upon(place: Place) -> Result<Self> {
        place.invalidate()?;
        let target = Target::new(place.root()?);
        Ok(Self { place, target, kind: WorkKind::Changed(HashSet::new()) })
    }

    /// Puts the file there that is the same as before. False: that can't be, it has to be sent.
    pub(super) fn share(&mut self, stat: &Stat) -> Result<bool> {
        match &mut self.kind {
            WorkKind::Changed(_) => Ok(true),
            WorkKind::New(None) => Ok(false),
            WorkKind::New(Some(from)) => {
                if FileKind::of(stat.mode) == Some(FileKind::Directory) {
                    return self.target.make(stat, FileKind::Directory).map(|()| true);
                }
                self.target.link_from(from, stat)
            }
        }
    }

    /// Takes away what was at `path`.
    pub(super) fn remove(&mut self, path: &[u8]) -> Result<()> {
        match &mut self.kind {
            // It was never put there.
            WorkKind::New(_) => Ok(()),
            WorkKind::Changed(stale) => {
                stale.insert(split(path).0.to_vec());
                self.target.remove(path)
            }
        }
    }

    /// Makes what is not a regular file.
    pub(super) fn make(&mut self, stat: &Stat, kind: FileKind) -> Result<()> {
        self.stale(&stat.path);
        if let (FileKind::Directory, WorkKind::Changed(stale)) = (kind, &mut self.kind) {
            stale.insert(stat.path.clone());
        }
        self.target.make(stat, kind)
    }

    /// Makes a regular file that is still to be filled.
    pub(super) fn create(&mut self, stat: &Stat) -> Result<OwnedFd> {
        self.stale(&stat.path);
        self.target.create(stat)
    }

    /// Makes another name of a file that is there.
    pub(super) fn link(&mut self, stat: &Stat) -> Result<()> {
        self.stale(&stat.path);
        self.target.link(stat)
    }

    /// Directories get their modes and times when nothing is changed in them any more.
    pub(super) fn settle(&mut self, index: &Index) -> Result<()> {
        let directories = index.0.iter().map(|known| &known.stat);
        let directories =
            directories.filter(|stat| FileKind::of(stat.mode) == Some(FileKind::Directory));
        for stat in directories {
            let is_stale = match &self.kind {
                WorkKind::New(_) => true,
                WorkKind::Changed(stale) => stale.contains(&stat.path),
            };
            if is_stale {
                self.target.settle(stat)?;
            }
        }
        Ok(())
    }

    /// Whether `left` bytes are free beside it.
    pub(super) fn room(&self, left: u64) -> Result<()> {
        let space = rustix::fs::fstatvfs(self.place.root()?).map_err(|error| {
            Error::io("look how much room there is for a context", error.into())
        })?;
        if space.f_bavail.saturating_mul(space.f_frsize) < left {
            let full = "no space left on device: the context takes more than there is room for";
            return Err(Error::new(Kind::Exhausted, full));
        }
        Ok(())
    }

    pub(super) fn into_place(self) -> Place {
        self.place
    }

    fn stale(&mut self, path: &[u8]) {
        if let WorkKind::Changed(stale) = &mut self.kind {
            stale.insert(split(path).0.to_vec());
        }
    }
}
