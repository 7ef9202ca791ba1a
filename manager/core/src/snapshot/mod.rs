//! Snapshots: layers unpacked once, and the writable layers of containers upon them.
//!
//! Life of a layer: it is unpacked into a directory of its own, `snapshots/<number>/fs`, over the
//! layers below it; synced; and recorded under its chain id in the transaction that records its
//! image. Images and writable layers hold the layers they stand on; what nobody holds is deleted.
//!
//! Life of a writable layer: `prepare` makes `snapshots/<number>/{fs,work}`, durable before its
//! record; `mounts` says how the shim stacks it on the image, at each start anew; `remove` deletes
//! the record, then the directory. What a crash leaves between these steps has no record, and is
//! swept at the next start.

pub(crate) mod compare;
pub(crate) mod confined;
pub(crate) mod delete;
pub(crate) mod detached;
mod directory;
mod draft;
mod driver;
mod files;
mod gone;
mod hold;
mod layers;
mod limits;
pub(crate) mod lookup;
pub(crate) mod lowers;
pub(crate) mod mapped;
pub(crate) mod marks;
pub(crate) mod pack;
pub(crate) mod quota;
mod record;
mod shielded;
mod stack;
pub(crate) mod unpack;
mod upper;
pub(crate) mod usage;
mod way;
mod writable;

#[cfg(test)]
mod draft_tests;
#[cfg(test)]
mod suite;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::store::Store;

pub(crate) use directory::private_directory;
pub(crate) use draft::Draft;
pub(crate) use driver::Written;
pub use driver::{Cloning, share_or_copy};
pub use files::is_archive;
pub(crate) use hold::{Hold, Holds};
pub(crate) use layers::{Layers, MOST_LAYERS, NewLayer, Unpacked};
pub(crate) use stack::{Expected, Lower, Promise, SnapshotId, promise};
pub(crate) use upper::Upper;

pub use confined::{Devices, run_if_unpacker};
pub use driver::DriverName;
pub use limits::Limits;

use directory::Directories;
use driver::Drivers;
use writable::WritableLayers;

/// All snapshots of one manager.
#[derive(Clone)]
pub struct Snapshots {
    directories: Arc<Directories>,
    writable: Arc<WritableLayers>,
}

/// A mount for the shim, in containerd's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The file system: `overlay`.
    pub kind: String,
    /// Its source.
    pub source: String,
    /// Its options. `lowerdir=` may be longer than a page: give the kernel its parts one by one
    /// (`lowerdir+` of the new mount API), or relative to their common directory.
    pub options: Vec<String>,
}

/// What a writable layer takes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of its files.
    pub bytes: u64,
}

/// The directories of an overlay, as `inspect` shows them under `GraphDriver`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphDirs {
    /// Read-only directories, uppermost first, joined by `:`.
    pub lower: String,
    /// What a container writes, or an image's uppermost layer.
    pub upper: PathBuf,
    /// Overlay's own scratch directory.
    pub work: PathBuf,
    /// Where they would be seen as one; a container's shim mounts them elsewhere.
    pub merged: PathBuf,
}

impl Snapshots {
    /// Opens the snapshots under the data root. [`Self::sweep`] them when all images hold theirs.
    pub(crate) fn open(config: &Config, store: Arc<Store>) -> Result<Self> {
        let directories = Directories::open(config.data_root.join("snapshots"))?;
        let latest = record::latest_driver(&store)?;
        let drivers = Drivers::open(Arc::clone(&directories), config.storage_driver, latest)?;
        let layers = Layers::open(config, Arc::clone(&directories), drivers, Arc::clone(&store))?;
        let layers = Arc::new(layers);
        let writable = WritableLayers::open(Arc::clone(&directories), store, layers)?;
        Ok(Self { directories, writable: Arc::new(writable) })
    }

    /// The driver that makes new snapshots.
    pub fn driver(&self) -> DriverName {
        self.writable.drivers.chosen().name()
    }

    /// What there is to say of it, as docker says it.
    pub fn driver_status(&self) -> Vec<(&'static str, String)> {
        self.writable.drivers.chosen().status()
    }

    /// The layers that images are made of.
    pub(crate) fn layers(&self) -> &Arc<Layers> {
        &self.writable.layers
    }

    /// The directory in which they are.
    pub(crate) fn root(&self) -> &Path {
        self.directories.root()
    }

    /// Deletes what nobody needs: layers without an image or container, directories without a
    /// record.
    pub(crate) fn sweep(&self) -> Result<()> {
        self.layers().collect_all()?;
        let mut named: HashSet<u64> = self.layers().directories().into_iter().collect();
        named.extend(self.writable.named());
        self.directories.sweep(|number| named.contains(&number))
    }

    /// Makes the writable layer `key` upon `image`; it is durable when this returns. It may take
    /// `limit` bytes, if there is one.
    ///
    /// # Errors
    /// [`crate::Kind::Conflict`] if there is one; [`crate::Kind::NotFound`] if the image is gone;
    /// [`crate::Kind::Exhausted`] on a full disk; [`crate::Kind::Invalid`] for a limit where the
    /// file system has none. Nothing is left behind then.
    pub async fn prepare(&self, key: &str, image: &Image, limit: Option<u64>) -> Result<()> {
        let (key, top) = (key.to_owned(), image.top());
        self.blocking(move |writable| writable.prepare(&key, top, limit)).await
    }

    /// What the shim mounts as the root of the container `key`, at each of its starts.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if there is no such writable layer.
    pub fn mounts(&self, key: &str) -> Result<Vec<Mount>> {
        self.writable.mounts(key)
    }

    /// Takes the writable layer `key` away; it is no error if there is none.
    pub async fn remove(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.blocking(move |writable| writable.remove(&key)).await
    }

    /// What the writable layer `key` takes on disk.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if there is no such writable layer.
    pub async fn usage(&self, key: &str) -> Result<Usage> {
        let key = key.to_owned();
        self.blocking(move |writable| writable.usage(&key)).await
    }

    /// The layer of the container `key`. Blocks.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if there is no such writable layer.
    pub(crate) fn upper(&self, key: &str) -> Result<Upper> {
        self.writable.upper(key)
    }

    /// Whether the file system limits what the container `key` writes.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if there is no such writable layer.
    pub fn is_limited(&self, key: &str) -> Result<bool> {
        self.writable.is_limited(key)
    }

    /// The driver of the container `key`, and its directories if they are an overlay's.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if there is no such writable layer.
    pub fn directories(&self, key: &str) -> Result<(DriverName, Option<GraphDirs>)> {
        self.writable.directories(key)
    }

    /// The driver of an image's layers, and its directories if they are an overlay's.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if the image has no layers, or is gone.
    pub fn image_directories(&self, image: &Image) -> Result<(DriverName, Option<GraphDirs>)> {
        self.writable.image_directories(image)
    }

    /// Takes away every writable layer whose key is not in `keep`: after a crash, what no
    /// container's record names.
    pub async fn retain(&self, keep: &HashSet<String>) -> Result<()> {
        let keep = keep.clone();
        self.blocking(move |writable| writable.retain(&keep)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WritableLayers) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let writable = Arc::clone(&self.writable);
        tokio::task::spawn_blocking(move || work(&writable))
            .await
            .map_err(|error| Error::system("a snapshot's task died").caused_by(error))?
    }
}
