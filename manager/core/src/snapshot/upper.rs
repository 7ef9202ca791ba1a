//! A container's own layer, for whoever compares or packs it.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use super::driver::Written;
use super::hold::Hold;
use super::lowers::Lowers;
use super::marks::Marks;
use super::writable::WritableLayers;
use crate::error::{Error, Result};
use crate::image::ChainId;

/// What a container wrote, and what lies below it. What lies below stays as long as this lives; what
/// it wrote, as long as the container.
pub(crate) struct Upper {
    /// What it wrote.
    pub(crate) own: Written,
    /// The layers of its image.
    pub(crate) lowers: Lowers,
    /// The uppermost of them.
    pub(crate) below: Option<ChainId>,
    /// Keeps them.
    pub(crate) held: Hold<ChainId>,
}

impl Written {
    /// The root of it.
    pub(crate) fn root(&self) -> &OwnedFd {
        let (Self::Changes(root) | Self::Whole(root)) = self;
        root
    }

    /// Whether it is the mark of something deleted.
    pub(crate) fn is_whiteout(&self, stat: &Stat) -> bool {
        match self {
            Self::Changes(_) => Marks::Overlay.is_whiteout(stat),
            Self::Whole(_) => false,
        }
    }

    /// Makes the empty file `name` in the root of a container that hasn't run yet. Nothing of the
    /// image's is written through.
    pub(crate) fn place(&self, name: &str) -> Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        match rustix::fs::openat(self.root(), name, flags, mode) {
            // A copied image may have something there, and so have it.
            Ok(_) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(Error::io(format_args!("make {name} in a container"), errno.into())),
        }
    }
}

impl WritableLayers {
    /// The layer of the container `key`.
    pub(super) fn upper(&self, key: &str) -> Result<Upper> {
        let (record, held) = self.held(key)?;
        let lowers = self.layers.lowers(record.below)?;
        let own = self.driver(&record)?.written(&self.directories.path(record.directory))?;
        Ok(Upper { own, lowers, below: record.below, held })
    }
}
