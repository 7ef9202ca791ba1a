//! Standard streams that are the null device.
//!
//! Whoever calls the runtime mostly gives it the host's /dev/null as a stream. A container's root
//! may change the mode and owner of what it has open, through /proc/self/fd, and would so take the
//! host's null device away from all others there. So no process of a container gets that file: it
//! gets one that it cannot change, and where the container has a null device of its own, that one.

use crate::error::{Context, Error, Result};
use crate::linux::descriptor::place;
use crate::linux::mount::{Change, Depth, changes_detached, set_attributes};
use crate::rootfs::attach::clone_path;
use crate::rootfs::devices::{is_null, open_null};
use crate::rootfs::options::RDONLY;
use crate::rootfs::place::{Root, is_same_file};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

const NULL: &str = "/dev/null";

/// Opens the null streams anew through a read-only mount: the device is read and written as
/// before, but not changed. To be called while the host's tree is there.
pub(crate) fn shield() -> Result<()> {
    let what = || "open /dev/null read-only";
    // Before Linux 5.12 only a mount could be changed that is attached, for all to see.
    if null_streams().next().is_none() || !changes_detached() {
        return Ok(());
    }
    let mount = match clone_path(CWD, Path::new(NULL), Depth::One) {
        // Who may not make mounts on the host is not root there, and owns no file of root's.
        Err(Errno::PERM) => return Ok(()),
        other => other.context(what)?,
    };
    set_attributes(&mount, Depth::One, Change { set: RDONLY, ..Change::default() })
        .context(what)?;
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let null = rustix::fs::open(path, flags, Mode::empty()).context(what)?;
    match is_null(&null).context(what)? {
        true => replace(&null),
        false => Err(Error::invalid("the host's /dev/null is not the null device")),
    }
}

/// Opens the null streams anew from the container in `root`. They stay as they are if what it has
/// at /dev/null is something else; whether none is left as it was.
pub(crate) fn adopt(root: &Root) -> Result<bool> {
    if null_streams().next().is_none() {
        return Ok(true);
    }
    match open_own(root) {
        Some(null) => replace(&null).map(|()| true),
        None => Ok(false),
    }
}

/// The container's null device. It is looked at before it is opened: opening can do something too.
fn open_own(root: &Root) -> Option<OwnedFd> {
    let found = open_null(root).ok()?;
    let null = root.open(Path::new(NULL), OFlags::RDWR | OFlags::NOCTTY).ok()?;
    is_same_file(&found, &null).ok()?.then_some(null)
}

fn replace(null: &OwnedFd) -> Result<()> {
    for stream in null_streams() {
        place(null.as_raw_fd(), stream.as_raw_fd()).context(|| "replace a standard stream")?;
    }
    Ok(())
}

fn null_streams() -> impl Iterator<Item = BorrowedFd<'static>> {
    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
        .into_iter()
        .filter(|stream| is_null(stream).unwrap_or(false))
}
