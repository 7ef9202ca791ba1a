//! A writable layer that is to become a layer of images. Nobody's record names it: what a crash leaves
//! of it is swept at the next start.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::delete;
use super::detached::Purpose;
use super::directory::{self, FILES, Fresh, WORK};
use super::driver::{DriverName, Written, check_stack, imitate};
use super::layers::{Layers, MOST_LAYERS, Unpacked};
use super::lowers::Lowers;
use super::mapped::Users;
use super::stack::{Lower, SnapshotId};
use super::{Mount, mapped, usage};
use crate::container::rootfs::Rootfs;
use crate::error::{Error, Result};

/// A writable layer upon others, mounted where nobody else sees it. Dropped, it is deleted.
pub(crate) struct Draft {
    /// Goes before the directory does.
    root: Rootfs,
    fresh: Fresh,
    driver: DriverName,
}

impl Draft {
    /// The root of all that is seen in it.
    pub(crate) fn root(&self) -> &Rootfs {
        &self.root
    }
}

impl Layers {
    /// A new writable layer upon `stack`, uppermost first, for this purpose. Blocks.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for too many layers; [`crate::Kind::Conflict`] for layers that this
    /// driver can't use.
    pub(crate) fn draft(&self, stack: &[SnapshotId], purpose: Purpose) -> Result<Draft> {
        self.draft_mounted(stack, |mount| Rootfs::mount_for(std::slice::from_ref(mount), purpose))
    }

    /// The same for a container with these users: others than the host's see their own ids. Blocks.
    ///
    /// # Errors
    /// The same; [`crate::Kind::Unavailable`] on kernels that can't map them.
    pub(crate) fn draft_to_run(
        &self,
        stack: &[SnapshotId],
        users: Option<Users<'_>>,
    ) -> Result<Draft> {
        self.draft_mounted(stack, |mount| used_by(mount, users))
    }

    fn draft_mounted(
        &self,
        stack: &[SnapshotId],
        mounted: impl FnOnce(&Mount) -> Result<Rootfs>,
    ) -> Result<Draft> {
        if stack.len() >= MOST_LAYERS {
            return Err(Error::invalid(format!("max depth exceeded: {MOST_LAYERS} layers")));
        }
        let driver = self.drivers.chosen();
        check_stack(driver, stack)?;
        let fresh = self.directories.fresh()?;
        driver.prepare(fresh.path(), &self.lowers_of(stack))?;
        let mounts = driver.mounts(fresh.path(), &self.drivers.show(stack)?)?;
        let Ok([mut mount]) = <[Mount; 1]>::try_from(mounts) else {
            return Err(Error::system("a writable layer is made of one mount"));
        };
        be_volatile(&mut mount);
        let root = mounted(&mount)?;
        Ok(Draft { root, fresh, driver: driver.name() })
    }

    /// A new writable layer upon a directory of somebody's. It is no layer, and never becomes one.
    /// For a container, as [`Self::draft_to_run`]. Blocks.
    pub(crate) fn draft_over(
        &self,
        directory: BorrowedFd<'_>,
        users: Option<Users<'_>>,
    ) -> Result<Draft> {
        let fresh = self.directories.fresh()?;
        let (files, work) = (fresh.path().join(FILES), fresh.path().join(WORK));
        directory::make(&work, 0o700)?;
        imitate(directory, &files)?;
        let lower = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let mut mount = Mount {
            kind: "overlay".to_owned(),
            source: "overlay".to_owned(),
            options: vec![
                format!("lowerdir={lower}"),
                format!("upperdir={}", files.display()),
                format!("workdir={}", work.display()),
            ],
        };
        be_volatile(&mut mount);
        let root = used_by(&mount, users)?;
        Ok(Draft { root, fresh, driver: DriverName::Overlay })
    }

    /// Whether what is written upon other layers is a layer as it is.
    pub(crate) fn adopts(&self, draft: &Draft) -> bool {
        draft.driver == DriverName::Overlay
    }

    /// Makes a layer of what was written, which [`Self::adopts`] has been asked about. Nothing is
    /// synced. Blocks.
    pub(crate) fn adopt(&self, draft: Draft) -> Result<Unpacked> {
        let Draft { root, fresh, driver } = draft;
        drop(root);
        let failed = |error| Error::io(format_args!("list {}", fresh.path().display()), error);
        for entry in std::fs::read_dir(fresh.path()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name() != FILES {
                delete::anything(&entry.path()).map_err(failed)?;
            }
        }
        let files = directory::open(&fresh.path().join(FILES))?;
        let size =
            usage::bytes(files.as_fd()).map_err(|error| Error::io("measure a layer", error))?;
        Ok(Unpacked::new(fresh, driver, size))
    }

    /// The files of a layer that was adopted.
    pub(crate) fn files(&self, layer: &Unpacked) -> Result<OwnedFd> {
        directory::open(&self.directories.path(layer.snapshot().number).join(FILES))
    }

    /// What was written, where it is no layer yet.
    pub(crate) fn written(&self, draft: &Draft) -> Result<Written> {
        self.drivers.get(draft.driver)?.written(draft.fresh.path())
    }

    /// These layers, to be looked at one by one.
    pub(crate) fn lowers_of(&self, stack: &[SnapshotId]) -> Lowers {
        Lowers::new(stack.iter().copied().map(Lower::from).collect(), &self.drivers)
    }
}

/// Mounts what containers with these users work in.
fn used_by(mount: &Mount, users: Option<Users<'_>>) -> Result<Rootfs> {
    match users {
        Some(users) => Ok(Rootfs::of_root(mapped::mount_to_write(mount, users)?)),
        None => Rootfs::mount_for(std::slice::from_ref(mount), Purpose::Use),
    }
}

/// Has overlay leave out what would make the layer durable step by step: after a crash it is gone, and
/// when it is kept, all of it is synced.
fn be_volatile(mount: &mut Mount) {
    if mount.kind == "overlay" {
        mount.options.push("volatile".to_owned());
    }
}
