//! An image's files for containers whose users are others on the host: on disk they have the ids that
//! containers see, and each layer is shown by a mount that maps them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};

use super::Mount;
use crate::error::{Error, Kind, Result};
use crate::ids::{Acting, IdMap};
use crate::linux;

/// What `mount` makes, to be read alone, with all ids mapped as the user namespace `user` does. It is
/// attached nowhere.
///
/// # Errors
/// Unavailable on kernels whose overlays take no layers that are attached nowhere.
pub(crate) fn mount(mount: &Mount, user: BorrowedFd<'_>) -> Result<OwnedFd> {
    mount_for(mount, user, Access::Read)
}

/// Who the users of a container are on the host, and the user namespace that says so.
#[derive(Clone, Copy)]
pub(crate) struct Users<'a> {
    pub(crate) ids: &'a IdMap,
    pub(crate) namespace: BorrowedFd<'a>,
}

/// The same, to be written to, too.
///
/// # Errors
/// The same.
pub(super) fn mount_to_write(mount: &Mount, users: Users<'_>) -> Result<OwnedFd> {
    // Whoever mounts an overlay is the one who writes below it.
    let _acting = Acting::as_root_of(users.ids)?;
    mount_for(mount, users.namespace, Access::Write)
}

/// What is done with what is mounted.
#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

fn mount_for(mount: &Mount, user: BorrowedFd<'_>, access: Access) -> Result<OwnedFd> {
    let mounted = match mount.kind.as_str() {
        "bind" => layer(Path::new(&mount.source), user),
        _ => stacked(mount, user, access),
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
fn layer(path: &Path, user: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags)?;
    linux::map_mount(tree.as_fd(), user)?;
    Ok(tree)
}

/// The layers upon each other, the one that can be written to uppermost.
fn stacked(mount: &Mount, user: BorrowedFd<'_>, access: Access) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(mount.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    let option = |name: &str| {
        let mut options = mount.options.iter().filter_map(|option| option.split_once('='));
        options.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let lowers = option("lowerdir").ok_or(Errno::INVAL)?;
    let mut layers = Vec::new();
    let upper = match access {
        Access::Read => option("upperdir"),
        Access::Write => {
            // Both have to be in one mount.
            let both = [("upperdir", option("upperdir")), ("workdir", option("workdir"))];
            let own = both[0].1.and_then(|upper| Path::new(upper).parent()).ok_or(Errno::INVAL)?;
            let tree = layer(own, user)?;
            for (key, path) in both {
                let name = path.and_then(|path| Path::new(path).strip_prefix(own).ok());
                let name = name.ok_or(Errno::INVAL)?.display();
                let path = format!("/proc/self/fd/{}/{name}", tree.as_raw_fd());
                fsconfig_set_string(&context, key, path)?;
            }
            layers.push(tree);
            None
        }
    };
    for path in upper.into_iter().chain(lowers.split(':')) {
        let tree = layer(Path::new(path), user)?;
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
    let attributes = match access {
        Access::Read => MountAttrFlags::MOUNT_ATTR_RDONLY,
        Access::Write => MountAttrFlags::empty(),
    };
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
