//! mount_setattr(2): a mount's attributes, its propagation and its id mapping.

use super::check;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

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

/// `struct mount_attr` as Linux 5.12 has it.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// MOUNT_ATTR_IDMAP.
const ATTR_IDMAP: u64 = 0x0010_0000;

/// Applies `change` to the mount that `mount` is the root of.
pub(crate) fn set_attributes(mount: impl AsFd, depth: Depth, change: Change<'_>) -> io::Result<()> {
    let attr = MountAttr {
        set: change.set | change.id_map.map_or(0, |_| ATTR_IDMAP),
        clear: change.clear,
        propagation: change.propagation,
        userns: change.id_map.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let flags = libc::AT_EMPTY_PATH
        | match depth {
            Depth::One => 0,
            Depth::Tree => libc::AT_RECURSIVE,
        };
    // SAFETY: the path is an empty C string and `attr` is a mount_attr of the size given; both and
    // the descriptors outlive the call, which keeps no pointer.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of_val(&attr),
        )
    })?;
    Ok(())
}
