//! A mount's attributes, its propagation and its id mapping.
//!
//! From Linux 5.12 on mount_setattr(2) changes them. Before that mount(2) changes most of them, but
//! only of a mount that is attached: see [`changes_detached`].

pub(crate) mod bits;
mod remount;
mod setattr;
pub(crate) mod table;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

/// What to change of a mount. The bits are the kernel's MOUNT_ATTR_* and MS_* propagation types.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change<'a> {
    /// Attributes to set.
    pub(crate) set: u64,
    /// Attributes to clear.
    pub(crate) clear: u64,
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE; 0 leaves the propagation alone.
    pub(crate) propagation: u64,
    /// The user namespace whose mappings the mount takes (MOUNT_ATTR_IDMAP).
    pub(crate) id_map: Option<BorrowedFd<'a>>,
}

/// Whether a change reaches the mounts below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// This mount alone.
    One,
    /// This mount and all below it, or none of them.
    Tree,
}

/// Applies `change` to the mount that `mount` is the root of.
pub(crate) fn set_attributes(mount: impl AsFd, depth: Depth, change: Change<'_>) -> io::Result<()> {
    match changes_detached() {
        true => setattr::apply(mount.as_fd(), depth, change),
        false => remount::apply(mount.as_fd(), depth, change),
    }
}

/// Whether this kernel changes mounts that are attached nowhere yet. Where it does not, they have to
/// be attached first.
pub(crate) fn changes_detached() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(setattr::is_there)
}

#[cfg(test)]
mod tests;
