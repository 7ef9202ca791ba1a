//! A container's own layer, for whoever compares or packs it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::writable::WritableLayers;
use crate::error::{Error, Result};
use crate::image::ChainId;

/// What a container wrote, and what lies below it. As long as the container is, so are these.
pub(crate) struct Upper {
    /// What it wrote, with overlay's marks of what it deleted.
    pub(crate) own: OwnedFd,
    /// The layers of its image, uppermost first.
    pub(crate) lowers: Vec<OwnedFd>,
    /// The uppermost of them.
    pub(crate) below: Option<ChainId>,
}

impl WritableLayers {
    /// The layer of the container `key`.
    pub(super) fn upper(&self, key: &str) -> Result<Upper> {
        let record = self.record(key)?;
        let stack = self.layers.stack(record.below)?;
        let lowers: Result<Vec<_>> =
            stack.iter().map(|number| open(&self.directories.files(*number))).collect();
        let own = open(&self.directories.files(record.directory))?;
        Ok(Upper { own, lowers: lowers?, below: record.below })
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    let opened = File::open(path).map(OwnedFd::from);
    opened.map_err(|error| Error::io(format_args!("open {}", path.display()), error))
}
