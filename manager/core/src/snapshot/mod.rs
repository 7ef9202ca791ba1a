//! Snapshots: layers unpacked once, and the writable layers of containers upon them.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::store::Store;

/// All snapshots of one manager.
pub struct Snapshots {}

/// A mount for the shim, in containerd's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The file system: `overlay`.
    pub kind: String,
    /// Its source.
    pub source: String,
    /// Its options. `lowerdir=` may be longer than a page: give the kernel its parts one by one
    /// (`lowerdir+` of the new mount API) or relative to their common directory.
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
    /// Where they are seen as one.
    pub merged: PathBuf,
}

impl Snapshots {
    /// Opens the snapshots under the data root.
    pub(crate) fn open(config: &Config, store: Arc<Store>) -> Result<Self> {
        let _ = (config, store);
        Ok(Self {})
    }

    /// Makes the writable layer `key` upon `image`; it is durable when this returns.
    pub async fn prepare(&self, key: &str, image: &Image) -> Result<()> {
        let _ = (key, image);
        Err(Error::unsupported("prepare"))
    }

    /// What the shim mounts as the root of the container `key`, at each of its starts.
    pub fn mounts(&self, key: &str) -> Result<Vec<Mount>> {
        Err(Error::not_found(format!("no snapshot {key}")))
    }

    /// Takes the writable layer `key` away; it is no error if there is none.
    pub async fn remove(&self, key: &str) -> Result<()> {
        let _ = key;
        Ok(())
    }

    /// What the writable layer `key` takes on disk.
    pub async fn usage(&self, key: &str) -> Result<Usage> {
        Err(Error::not_found(format!("no snapshot {key}")))
    }

    /// The directories of the container `key`.
    pub fn directories(&self, key: &str) -> Result<GraphDirs> {
        Err(Error::not_found(format!("no snapshot {key}")))
    }

    /// The directories of an image.
    pub fn image_directories(&self, image: &Image) -> Result<GraphDirs> {
        Err(Error::not_found(format!("no snapshot of {}", image.id)))
    }

    /// Takes away every writable layer whose key is not in `keep`: after a crash, what no
    /// container's record names.
    pub async fn retain(&self, keep: &HashSet<String>) -> Result<()> {
        let _ = keep;
        Ok(())
    }
}
