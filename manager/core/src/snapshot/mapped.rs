//! An image's files for containers whose users are others on the host: on disk they have the ids that
//! containers see, and each layer is shown by a mount that maps them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};

use super::Mount;
use crate::error::{Error, Kind, Result};
use crate::linux;

/// What `mount` makes, to be read alone, with all ids mapped as the user namespace `user` does. It is
/// attached nowhere.
///
/// # Errors
/// Unavailable on kernels whose overlays take no layers that are attached nowhere.
pub(crate) fn mount(mount: &Mount, user: BorrowedFd<'_>) -> Result<OwnedFd> {
    let mounted = match mount.kind.as_str() {
        "bind" => layer(&mount.source, user),
        _ => stacked(mount, user),
    };
    mounted.map_err(|errno| match errno {
        Errno::INVAL => Error::new(
            Kind::Unavailable,
            "an image is mounted for users that are others on the host by Linux 6.15 and later: run \
             the container with --userns=host",
        ),
        errno => Error::io("mount an image with mapped ids", errno.into()),
    })
}

/// A layer, mapped.
fn layer(path: &str, user: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags)?;
    linux::map_mount(tree.as_fd(), user)?;
    Ok(tree)
}

/// The layers upon each other, the one that could be written to uppermost.
fn stacked(mount: &Mount, user: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(mount.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    let option = |name: &str| {
        let mut options = mount.options.iter().filter_map(|option| option.split_once('='));
        options.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let lowers = option("lowerdir").ok_or(Errno::INVAL)?;
    let mut layers = Vec::new();
    for path in option("upperdir").into_iter().chain(lowers.split(':')) {
        let tree = layer(path, user)?;
        fsconfig_set_string(&context, "lowerdir+", format!("/proc/self/fd/{}", tree.as_raw_fd()))?;
        layers.push(tree);
    }
    for option in &mount.options {
        match option.split_once('=') {
            Some(("lowerdir" | "upperdir" | "workdir", _)) => {}
            Some((key, value)) => fsconfig_set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, option.as_str())?,
        }
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
}
