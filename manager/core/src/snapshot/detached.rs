//! A mount without a place: it goes away with its descriptor, and nobody else sees it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    open_tree,
};

use super::Mount;
use crate::threads;

/// What a mount is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be looked into: nothing in it is run or opened as a device.
    Look,
    /// To be used in a container.
    Use,
}

/// Mounts a file system.
pub(crate) fn mount(mount: &Mount, purpose: Purpose) -> rustix::io::Result<OwnedFd> {
    let layers = mount.options.iter().find_map(|option| option.strip_prefix("lowerdir="));
    match (mount_option_by_option(mount, purpose), layers) {
        // Before Linux 6.8 it is wrong to give layers one by one.
        (Err(Errno::INVAL), Some(layers)) => mount_in_own_namespace(mount, layers, purpose),
        (outcome, _) => outcome,
    }
}

fn mount_option_by_option(mount: &Mount, purpose: Purpose) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(mount.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    for option in &mount.options {
        match option.split_once('=') {
            // Together they may be too long.
            Some(("lowerdir", layers)) => {
                for layer in layers.split(':') {
                    fsconfig_set_string(&context, "lowerdir+", layer)?;
                }
            }
            Some((key, value)) => fsconfig_set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, option.as_str())?,
        }
    }
    fsconfig_create(&context)?;
    let attributes = match purpose {
        Purpose::Look => {
            MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NOEXEC
        }
        Purpose::Use => MountAttrFlags::empty(),
    };
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The way before Linux 6.8, where all layers have to be named in one option of a page at most:
/// a thread in a mount namespace of its own mounts them by short names, and hands the mount out.
fn mount_in_own_namespace(
    mount: &Mount,
    layers: &str,
    purpose: Purpose,
) -> rustix::io::Result<OwnedFd> {
    let common = common_directory(layers).ok_or(Errno::NAMETOOLONG)?;
    let prefix = format!("{}/", common.display());
    let short = |option: &String| {
        let option = option.replace(&format!(":{prefix}"), ":");
        option.replacen(&format!("={prefix}"), "=", 1)
    };
    let options = mount.options.iter().map(short).collect::<Vec<_>>().join(",");
    let options = std::ffi::CString::new(options).map_err(|_| Errno::INVAL)?;
    thread::scope(|scope| {
        let mounting = threads::start(scope, "mount", || -> rustix::io::Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNS)
                .map_err(|errno| Errno::from_raw_os_error(errno as i32))?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private)?;
            rustix::process::chdir(&common)?;
            let flags = match purpose {
                Purpose::Look => MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC,
                Purpose::Use => MountFlags::empty(),
            };
            // Over the directory itself: in this thread, its content is still where it is.
            rustix::mount::mount(
                mount.source.as_str(),
                &common,
                mount.kind.as_str(),
                flags,
                options.as_c_str(),
            )?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            open_tree(CWD, &common, flags)
        });
        threads::join(mounting.map_err(|_| Errno::AGAIN)?).map_err(|_| Errno::IO)?
    })
}

/// The directory that all these layers are in.
fn common_directory(layers: &str) -> Option<PathBuf> {
    let mut all = layers.split(':').map(Path::new);
    let mut common = all.next()?.parent()?.to_owned();
    for directory in all {
        while !directory.starts_with(&common) {
            common.pop();
        }
    }
    (common.as_os_str() != "/").then_some(common)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn layers_have_short_names_in_the_directory_that_they_share() {
        let common = |text| common_directory(text).map(|path| path.display().to_string());
        assert_eq!(common("/d/snapshots/1/fs:/d/snapshots/12/fs").unwrap(), "/d/snapshots");
        assert_eq!(common("/d/snapshots/1/fs").unwrap(), "/d/snapshots/1");
        assert_eq!(common("/a/b:/c/d"), None);
    }

    #[test]
    fn an_older_kernels_way_shows_the_same_to_nobody_else() {
        let root = tempfile::tempdir().unwrap();
        let layers: Vec<String> = (0..300).map(|it| format!("layer-{it}")).collect();
        for layer in &layers {
            fs::create_dir(root.path().join(layer)).unwrap();
            fs::write(root.path().join(layer).join(layer), "").unwrap();
        }
        let paths = layers.iter().map(|layer| root.path().join(layer).display().to_string());
        let lower = paths.collect::<Vec<_>>().join(":");
        let mount = Mount {
            kind: "overlay".to_owned(),
            source: "overlay".to_owned(),
            options: vec![format!("lowerdir={lower}")],
        };
        let mounted = mount_in_own_namespace(&mount, &lower, Purpose::Look).unwrap();
        let seen = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&mounted));
        let names = fs::read_dir(seen).unwrap().count();
        assert_eq!(names, 300);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 300);
    }
}
