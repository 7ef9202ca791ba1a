//! Leaving the host's tree for the container's.

use super::attach::{attach, new_file_system, open_host};
use super::options::{PRIVATE, SLAVE};
use super::place::Root;
use crate::error::{Context, Result};
use crate::linux::mount::table::{self, Entry};
use crate::linux::mount::{Change, Depth, set_attributes};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{chdir, chroot, fchdir, pivot_root};
use std::path::{Path, PathBuf};

/// How the container's root becomes the process's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// pivot_root(2): the host's tree is gone afterwards.
    Pivot,
    /// The root is moved over the host's, for hosts that run from a ramdisk.
    Move,
    /// chroot(2), where the container shares the host's mount namespace.
    Chroot,
}

/// Makes `root`, a mount at `path`, the root and working directory of this process.
pub(crate) fn enter(root: &Root, path: &Path, switch: Switch) -> Result<()> {
    fchdir(root).context(|| format!("chdir {}", path.display()))?;
    match switch {
        Switch::Pivot => pivot(),
        Switch::Move => move_over(root, path),
        Switch::Chroot => chroot(c".").context(|| "chroot"),
    }
    .context(|| "error jailing process inside rootfs")?;
    chdir(c"/").context(|| "chdir /")
}

/// pivot_root(".", ".") stacks the old root on the new one, where it is taken off.
fn pivot() -> Result<()> {
    let old = open_host(Path::new("/")).context(|| "open the old root")?;
    pivot_root(c".", c".").context(|| "pivot_root")?;
    fchdir(&old).context(|| "chdir to the old root")?;
    // Taking it off must not take it off on the host.
    let change = Change { propagation: SLAVE, ..Change::default() };
    set_attributes(&old, Depth::Tree, change).context(|| "separate the old root")?;
    unmount(c".", UnmountFlags::DETACH).context(|| "unmount the old root")
}

/// Moves the root over the host's. The host's tree stays below and can't be seen, but the kernel
/// would take a full procfs or sysfs in it as leave to mount a new one: those go first.
fn move_over(root: &Root, path: &Path) -> Result<()> {
    for mount in full_kernel_mounts(path)? {
        let Ok(place) = open_host(&mount) else { continue };
        let change = Change { propagation: SLAVE, ..Change::default() };
        set_attributes(&place, Depth::Tree, change)
            .context(|| format!("separate {}", mount.display()))?;
        if unmount(&mount, UnmountFlags::DETACH).is_err() {
            let cover = new_file_system("tmpfs", None, &[], 0)?;
            attach(cover, place).context(|| format!("cover {}", mount.display()))?;
        }
    }
    let host = open_host(Path::new("/")).context(|| "open the host's root")?;
    attach(root, host).context(|| "move the root")?;
    chroot(c".").context(|| "chroot")
}

/// Where whole procfs and sysfs instances are mounted, outside `root`.
fn full_kernel_mounts(root: &Path) -> Result<Vec<PathBuf>> {
    let table = table::read().context(|| "read /proc/self/mountinfo")?;
    let is_whole = |entry: &Entry| {
        entry.root == Path::new("/") && matches!(entry.typ.as_str(), "proc" | "sysfs")
    };
    let places = table.into_iter().filter(is_whole).map(|entry| entry.point);
    Ok(places.filter(|place| !place.starts_with(root)).collect())
}

/// Separates this mount namespace from the one it was copied from, as `propagation` says, so that
/// what is mounted from here on does not appear on the host.
pub(crate) fn separate(propagation: Option<(u64, Depth)>, rootfs: &Path) -> Result<()> {
    let (kind, depth) = propagation.unwrap_or((SLAVE, Depth::Tree));
    let host = open_host(Path::new("/")).context(|| "open /")?;
    set_attributes(&host, depth, Change { propagation: kind, ..Change::default() })
        .context(|| "separate the mount namespace")?;
    let is_separate = matches!(kind, SLAVE | PRIVATE);
    if is_separate && depth == Depth::Tree {
        return Ok(());
    }
    // The root's parent must not be shared: pivot_root(2) refuses it, and the new root would be
    // mounted on the host too.
    let change =
        Change { propagation: if kind == SLAVE { SLAVE } else { PRIVATE }, ..Change::default() };
    for path in rootfs.ancestors() {
        let place = open_host(path).context(|| format!("open {}", path.display()))?;
        match set_attributes(&place, Depth::One, change) {
            // No mount point: the mount that it lies on is further up.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            other => return other.context(|| format!("separate {}", path.display())),
        }
    }
    Ok(())
}
