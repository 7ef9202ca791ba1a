//! A container's files as its processes see them, whether it runs or not: its root, and upon it the
//! volumes, directories and files of the host, and memory that its user had mounted. What the
//! runtime mounts besides (`/proc`, `/sys`, `/dev`) isn't seen.
//!
//! Nothing is mounted for this where anybody sees it, and no thread enters a container: every step
//! of every path is taken by descriptor, from the root or from what is mounted where the step leads,
//! in [`walk`]. So no link that an image or a container puts there leads out, however it is
//! exchanged meanwhile, and no program or library of the container's is ever run.

mod mounts;
mod walk;

#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::Stat;
use rustix::io::Errno;

use super::rootfs::{Ids, Rootfs, plain_text};
use super::spec::user::Accounts;
use crate::error::Result;
use crate::image::archive::path;
use crate::volume::Looked;

pub(super) use mounts::{Wanted, root_of_process};
pub(super) use walk::{Found, Last, Stopped};

/// The view of one container.
pub(super) struct View {
    /// What the root is.
    root: Layer,
    /// What is mounted upon it.
    mounts: Vec<Mounted>,
    /// Keeps the root mounted.
    _rootfs: Arc<Rootfs>,
    /// Keeps the volumes mounted that are mounted for this alone.
    _looked: Option<Looked>,
}

/// One file system of a view, or a part of one: where steps begin.
#[derive(Clone)]
struct Layer {
    handle: Arc<OwnedFd>,
    access: Access,
    /// Whose ids are seen there.
    ids: Ids,
}

/// What may be done in a part of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anything.
    Write,
    /// Reading alone: the container's root is read-only.
    ReadRoot,
    /// Reading alone: what is mounted there is read-only.
    ReadMount,
}

/// Something mounted in a view.
struct Mounted {
    /// The directory or file that it covers, held so that nothing else gets its number.
    covered: Identity,
    _held: OwnedFd,
    /// Its path, with no link on the way.
    path: Vec<u8>,
    layer: Layer,
}

/// What makes a file this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

impl View {
    /// The view of `rootfs` with these mounts upon it, those above others first. Places that aren't
    /// there are made, as a start makes them. Blocks.
    pub(super) fn new(rootfs: Arc<Rootfs>, access: Access, wanted: Vec<Wanted>) -> Result<Self> {
        let handle = Arc::new(rootfs.handle()?);
        let root = Layer { handle, access, ids: rootfs.ids().clone() };
        let mut view = Self { root, mounts: Vec::new(), _rootfs: rootfs, _looked: None };
        for wanted in wanted {
            view.mount(wanted)?;
        }
        Ok(view)
    }

    /// The same, which keeps these volumes mounted as long as it lives.
    pub(super) fn with_mounted(self, looked: Option<Looked>) -> Self {
        Self { _looked: looked, ..self }
    }

    /// What is mounted over what `stat` is of, and whose ids are seen there.
    pub(super) fn mounted(&self, stat: &Stat) -> Option<(OwnedFd, Ids)> {
        let layer = self.layer_over(stat)?;
        Some((layer.handle.try_clone().ok()?, layer.ids.clone()))
    }

    /// The account files.
    pub(super) fn accounts(&self) -> Result<Accounts> {
        let read = |path: &str| match self.find(path.as_bytes(), Last::Follow) {
            Ok(found) => plain_text(&found.handle, path),
            Err(_) => Ok(String::new()),
        };
        Ok(Accounts { passwd: read("etc/passwd")?, group: read("etc/group")? })
    }

    /// Whether something is mounted at this path or below.
    pub(super) fn is_mounted_within(&self, path: &[u8]) -> bool {
        self.mounts.iter().any(|mounted| path::is_within(&mounted.path, path))
    }

    /// The last mount over it counts, as in the kernel.
    fn layer_over(&self, stat: &Stat) -> Option<&Layer> {
        let covered = Identity::of(stat);
        let over = self.mounts.iter().rev().find(|mounted| mounted.covered == covered);
        over.map(|mounted| &mounted.layer)
    }
}

impl Access {
    /// Whether something may be changed there.
    ///
    /// # Errors
    /// The kernel's for what is read-only.
    pub(super) fn check(self) -> std::result::Result<(), Errno> {
        match self {
            Self::Write => Ok(()),
            Self::ReadRoot | Self::ReadMount => Err(Errno::ROFS),
        }
    }
}
