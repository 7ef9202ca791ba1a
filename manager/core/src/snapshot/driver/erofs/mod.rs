//! EROFS: a layer is one file, an image that the kernel mounts as it is; containers stand on such
//! layers by overlay, as on directories.
//!
//! Unpacking makes no inodes but writes one file from its start to its end, and deletion is one
//! unlink: layers of many small files come and go many times faster than as directories, and take
//! less room.
//!
//! An image is mounted at no place. When the first container is to stand on a layer, its mount
//! becomes a descriptor of this process, and a shim's overlay is put upon that by its path in
//! `/proc`. The overlay keeps what it stands on by itself: neither this process nor the file's name
//! has to stay, and when the last overlay is gone and this process, too, so is all of it. All
//! containers that are started by one process stand on the same mount, and share what is cached.
//!
//! What the kernel mounts was written by [`tare_erofs`], but in a process that reads untrusted
//! archives: this one looks it over first.

mod image;
mod layer;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::overlay::Overlay;
use super::{Driver, DriverName, Written};
use crate::error::{Error, Result};
use crate::snapshot::directory::FILES;
use crate::snapshot::lowers::{Layer, Lowers};
use crate::snapshot::marks::Marks;
use crate::snapshot::{GraphDirs, Mount};

pub(super) use layer::unpack;

/// A layer's file, in the directory `fs` of its snapshot.
const IMAGE: &str = "layer.erofs";

/// The driver.
pub(super) struct Erofs {
    /// Stacks what containers write upon the layers.
    overlay: Overlay,
    /// The layers that containers were put upon, by their snapshots.
    mounted: Mutex<HashMap<PathBuf, OwnedFd>>,
}

impl Erofs {
    /// Tries it out in the directory `directory`.
    ///
    /// # Errors
    /// The kernel can't mount an image that is a file there, or can't put an overlay upon it.
    pub(super) fn open(directory: &Path, overlay: Overlay) -> Result<Self> {
        image::probe(directory).map_err(|error| {
            Error::new(
                crate::Kind::Unavailable,
                format!("mounting layers from files needs Linux 6.15 with EROFS: {error}"),
            )
        })?;
        Ok(Self { overlay, mounted: Mutex::default() })
    }
}

impl Driver for Erofs {
    fn name(&self) -> DriverName {
        DriverName::Erofs
    }

    fn status(&self) -> Vec<(&'static str, String)> {
        self.overlay.status()
    }

    fn stands_on(&self, other: DriverName) -> bool {
        self.overlay.stands_on(other)
    }

    fn seal(&self, layer: &Path) -> Result<()> {
        image::seal(&self.place(layer))
    }

    fn open(&self, layer: &Path) -> Result<Layer> {
        Ok(Layer { root: image::open(&self.place(layer))?, marks: Marks::Overlay })
    }

    fn place(&self, layer: &Path) -> PathBuf {
        layer.join(FILES).join(IMAGE)
    }

    fn show(&self, layer: &Path) -> Result<PathBuf> {
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        if !mounted.contains_key(layer) {
            mounted.insert(layer.to_owned(), image::mount(&self.place(layer))?);
        }
        let descriptor = mounted[layer].as_raw_fd();
        // As others see this process, who see the same `/proc`.
        let process = std::fs::canonicalize("/proc/self")
            .map_err(|error| Error::io("look for this process in /proc", error))?;
        Ok(process.join("fd").join(descriptor.to_string()))
    }

    fn forget(&self, layer: &Path) {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner).remove(layer);
    }

    fn prepare(&self, own: &Path, lowers: &Lowers) -> Result<()> {
        self.overlay.prepare(own, lowers)
    }

    fn sync(&self, own: &Path) -> Result<()> {
        self.overlay.sync(own)
    }

    fn mounts(&self, own: &Path, layers: &[PathBuf]) -> Result<Vec<Mount>> {
        self.overlay.mounts(own, layers)
    }

    fn written(&self, own: &Path) -> Result<Written> {
        self.overlay.written(own)
    }

    fn directories(&self, own: &Path, layers: &[PathBuf]) -> Option<GraphDirs> {
        self.overlay.directories(own, layers)
    }
}
