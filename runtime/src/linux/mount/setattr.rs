//! mount_setattr(2), which changes a mount, or a tree of them all at once.

use super::{Change, Depth};
use crate::linux::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

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

/// Whether the kernel has the call. One without attributes is malformed where it is known.
pub(super) fn is_there() -> bool {
    // SAFETY: the path is an empty C string, and with a size of zero no attributes are read.
    let result = check(unsafe {
        libc::syscall(libc::SYS_mount_setattr, -1, c"".as_ptr(), 0, std::ptr::null::<u8>(), 0)
    });
    result.is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL))
}

/// Applies `change` to the mount that `mount` is the root of.
pub(super) fn apply(mount: BorrowedFd<'_>, depth: Depth, change: Change<'_>) -> io::Result<()> {
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
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of_val(&attr),
        )
    })?;
    Ok(())
}
