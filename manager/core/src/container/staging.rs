//! What containers see of volumes and images by a path inside of those. The path is looked up once,
//! by descriptors, and what was found there is mounted in the bundle, from where the runtime takes it:
//! whoever shares the volume can't exchange it in between.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::bundle::Bundle;
use super::record::{MountPoint, MountSource};
use super::rootfs::Rootfs;
use crate::error::{Error, Result};
use crate::ids::namespace;
use crate::snapshot::{Mount, Snapshots, mapped};

/// How often a path is looked up again that leads up while something else is renamed.
const ATTEMPTS: u32 = 128;

/// Where volumes are that aren't at their own place, by name.
type Places = BTreeMap<String, PathBuf>;

/// Whether what is at `source` is not mounted from its own place.
pub(super) fn is_staged(source: &MountSource, places: &Places) -> bool {
    match source {
        MountSource::Image { .. } => true,
        MountSource::Volume { name, subpath, .. } => subpath.is_some() || places.contains_key(name),
        MountSource::Path(_) | MountSource::Tmpfs { .. } => false,
    }
}

/// Mounts in the bundle what is not to be taken from its own place; gives where, by target. `users`: the
/// file that holds the container's user namespace, if it has one. Blocks.
pub(super) fn stage(
    points: &[MountPoint],
    places: &Places,
    bundle: &Bundle,
    users: Option<&Path>,
    snapshots: &Snapshots,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut staged = BTreeMap::new();
    for (number, point) in points.iter().enumerate() {
        let (root, shown, subpath) = match &point.source {
            MountSource::Volume { name, path, subpath, .. } if is_staged(&point.source, places) => {
                let path = places.get(name).unwrap_or(path);
                let subpath = subpath.as_deref().unwrap_or_default();
                (open_directory(path)?, path.display().to_string(), subpath)
            }
            MountSource::Image { name, snapshot, subpath, .. } => {
                let root = image(&snapshots.mounts(snapshot)?, users)?;
                (root, name.clone(), subpath.as_deref().unwrap_or_default())
            }
            MountSource::Volume { .. } | MountSource::Path(_) | MountSource::Tmpfs { .. } => {
                continue;
            }
        };
        let found = below(&root, &shown, subpath)?;
        let place = bundle.place(number);
        put(&found, &place)
            .map_err(|error| Error::io(format!("mount {shown} for {}", point.target), error))?;
        staged.insert(point.target.clone(), place);
    }
    Ok(staged)
}

/// What is at `subpath` of the volume whose content is at `content`.
pub(super) fn part_of(content: &Path, subpath: Option<&str>) -> Result<OwnedFd> {
    let shown = content.display().to_string();
    below(&open_directory(content)?, &shown, subpath.unwrap_or_default())
}

/// The files of an image, with the ids that the container sees.
fn image(mounts: &[Mount], users: Option<&Path>) -> Result<OwnedFd> {
    match (mounts, users) {
        ([mount], Some(users)) => mapped::mount(mount, namespace::open(users)?.as_fd()),
        _ => Ok(Rootfs::mount_to_use(mounts)?.into_handle()),
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|error| Error::io(format!("open {}", path.display()), error.into()))
}

/// What is at `subpath` below `root`, which is shown as `base`. Links may lead within it, not out.
fn below(root: &OwnedFd, base: &str, subpath: &str) -> Result<OwnedFd> {
    let path = if subpath.is_empty() { "." } else { subpath };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel gives up at a `..` if anything was renamed or mounted meanwhile, anywhere.
    let mut attempts = 0..ATTEMPTS;
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), inside) {
            Err(Errno::AGAIN) if attempts.next().is_some() => {}
            Ok(found) => return Ok(found),
            Err(Errno::XDEV) => {
                return Err(Error::invalid(format!(
                    "path concatenation escapes the base directory, base: {base}, subpath: {subpath}"
                )));
            }
            Err(error) => {
                let doing = format!("cannot access path {base}/{subpath}");
                return Err(Error::io(doing, error.into()));
            }
        }
    }
}

/// Mounts what `found` is a handle of at `place`, which is made as what it is.
fn put(found: &OwnedFd, place: &Path) -> std::io::Result<()> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(found)?.st_mode);
    std::fs::create_dir_all(place.parent().unwrap_or(place))?;
    if kind == FileType::Directory {
        std::fs::create_dir(place)?
    } else {
        File::create(place).map(drop)?
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(found, "", flags)?;
    move_mount(tree.as_fd(), "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_leads_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("volume");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        symlink("a/b", root.join("in")).unwrap();
        symlink("/etc", root.join("out")).unwrap();
        symlink("../..", root.join("up")).unwrap();
        let handle = open_directory(&root).unwrap();
        for path in ["", "a", "a/b", "in", "in/../b"] {
            below(&handle, "volume", path).unwrap();
        }
        for path in ["out", "up", "a/../../x"] {
            let error = below(&handle, "volume", path).unwrap_err().to_string();
            assert!(
                error.contains(&format!(
                    "escapes the base directory, base: volume, subpath: {path}"
                ))
            );
        }
        let error = below(&handle, "volume", "none").unwrap_err();
        assert!(error.to_string().starts_with("cannot access path volume/none"), "{error}");
    }
}
