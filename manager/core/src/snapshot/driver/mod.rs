//! How snapshots are on disk: one trait, and the drivers that implement it.

mod choice;
mod copying;
mod erofs;
mod lay;
mod overlay;
mod unpacking;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::directory::Directories;
use super::lowers::{Layer, Lowers};
use super::stack::SnapshotId;
use super::{GraphDirs, Mount};
use crate::error::{Error, Result};

pub(super) use lay::copy_data;
pub use lay::{Cloning, share_or_copy};
pub(super) use overlay::imitate;
pub(super) use unpacking::unpack;

/// The drivers, under docker's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DriverName {
    /// The kernel's overlay of directories. Snapshots that don't say who made them are its.
    #[default]
    #[serde(rename = "overlay2")]
    Overlay,
    /// Whole copies.
    #[serde(rename = "vfs")]
    Copying,
    /// Images of the read-only file system EROFS, stacked by overlay.
    #[serde(rename = "erofs")]
    Erofs,
}

/// What keeps snapshots on disk, each in a directory of its own that the caller makes and deletes.
///
/// Life of a layer: [`unpack`] fills an empty snapshot with an archive, over layers that may
/// themselves still be on their way; [`seal`](Self::seal) looks it over;
/// [`open`](Self::open) shows it to whoever looks at it from above, and [`show`](Self::show) to
/// whoever mounts something upon it. It is never changed again.
///
/// Life of a writable layer: [`prepare`](Self::prepare) makes it upon finished layers;
/// [`mounts`](Self::mounts) says at each start of the container how a shim puts both together, and
/// [`written`](Self::written) what the container made of it, whether it runs or not. Nothing else
/// is kept in memory or in the kernel: a driver that has just been opened knows as much as one that
/// has done all this itself.
///
/// The caller sees to records, to deletion, and that layers are durable before records name them.
pub(crate) trait Driver: Send + Sync {
    /// Its name.
    fn name(&self) -> DriverName;

    /// What `docker info` shows of it.
    fn status(&self) -> Vec<(&'static str, String)>;

    /// Whether it can use layers that the driver `other` made.
    fn stands_on(&self, other: DriverName) -> bool;

    /// Looks a new layer over, before anything is done with it, as what unpacked it may have been
    /// taken over by the archive; and gives it what only the manager may give.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] if it isn't what it should be.
    fn seal(&self, layer: &Path) -> Result<()>;

    /// Opens a layer that it made.
    fn open(&self, layer: &Path) -> Result<Layer>;

    /// Where a layer that it made is on disk, for people.
    fn place(&self, layer: &Path) -> PathBuf;

    /// By which path something is mounted upon a layer that it made. It leads there as long as this
    /// process runs and the layer isn't [forgotten](Self::forget); what is mounted stays.
    fn show(&self, layer: &Path) -> Result<PathBuf>;

    /// A layer is being deleted: what was made to show it is of no use any more.
    fn forget(&self, layer: &Path);

    /// Makes a writable layer upon `lowers`. `own` has an empty directory `fs`. Nothing is synced.
    fn prepare(&self, own: &Path, lowers: &Lowers) -> Result<()>;

    /// Makes all that it has just made in `own` durable.
    fn sync(&self, own: &Path) -> Result<()>;

    /// What a shim mounts as the root of the container, upon layers that are shown at these paths,
    /// uppermost first.
    fn mounts(&self, own: &Path, layers: &[PathBuf]) -> Result<Vec<Mount>>;

    /// What the container wrote.
    fn written(&self, own: &Path) -> Result<Written>;

    /// The directories of a snapshot, if it is one of an overlay; its layers are at these places.
    fn directories(&self, own: &Path, layers: &[PathBuf]) -> Option<GraphDirs>;
}

/// What a container wrote.
pub(crate) enum Written {
    /// What it changed, with overlay's marks of what it deleted.
    Changes(OwnedFd),
    /// All that it has: what its image has too may be unchanged.
    Whole(OwnedFd),
}

/// All drivers that work here.
pub(crate) struct Drivers {
    directories: Arc<Directories>,
    working: Vec<Box<dyn Driver>>,
    /// The one that makes new snapshots.
    chosen: usize,
}

impl Drivers {
    /// The driver that makes new snapshots.
    pub(super) fn chosen(&self) -> &dyn Driver {
        &*self.working[self.chosen]
    }

    /// The driver of this name.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] if it doesn't work here.
    pub(super) fn get(&self, name: DriverName) -> Result<&dyn Driver> {
        let driver = self.working.iter().find(|driver| driver.name() == name);
        driver.map(|driver| &**driver).ok_or_else(|| {
            Error::new(
                crate::Kind::Unavailable,
                format!(
                    "it is kept by the storage driver {name}, which does not work here (any more)"
                ),
            )
        })
    }

    /// Opens a layer.
    pub(super) fn open_layer(&self, id: SnapshotId) -> Result<Layer> {
        self.get(id.driver)?.open(&self.directories.path(id.number))
    }

    /// Where these layers are on disk.
    pub(super) fn places(&self, stack: &[SnapshotId]) -> Result<Vec<PathBuf>> {
        let place =
            |id: &SnapshotId| Ok(self.get(id.driver)?.place(&self.directories.path(id.number)));
        stack.iter().map(place).collect()
    }

    /// By which paths something is mounted upon these layers.
    pub(super) fn show(&self, stack: &[SnapshotId]) -> Result<Vec<PathBuf>> {
        let show = |id: &SnapshotId| self.get(id.driver)?.show(&self.directories.path(id.number));
        stack.iter().map(show).collect()
    }

    /// The snapshot `number` is being deleted.
    pub(super) fn forget(&self, number: u64) {
        let path = self.directories.path(number);
        self.working.iter().for_each(|driver| driver.forget(&path));
    }
}

/// Whether `driver` can use all these layers.
///
/// # Errors
/// [`crate::Kind::Conflict`] if not, with what to do.
pub(super) fn check_stack(driver: &dyn Driver, stack: &[SnapshotId]) -> Result<()> {
    match stack.iter().find(|id| !driver.stands_on(id.driver)) {
        None => Ok(()),
        Some(SnapshotId { driver: other, .. }) => {
            let name = driver.name();
            Err(Error::conflict(format!(
                "the image was unpacked by the storage driver {other}, and {name} can't use that: \
                 start tared with --storage-driver {other}, or remove the image and pull it again"
            )))
        }
    }
}

impl DriverName {
    /// Its name in docker.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlay => "overlay2",
            Self::Copying => "vfs",
            Self::Erofs => "erofs",
        }
    }
}

impl std::str::FromStr for DriverName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Overlay, Self::Copying, Self::Erofs];
        all.into_iter().find(|name| name.as_str() == text).ok_or_else(|| {
            let known = all.map(Self::as_str).join(", ");
            Error::invalid(format!("there is no storage driver {text:?}; use one of: {known}"))
        })
    }
}

impl std::fmt::Display for DriverName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
