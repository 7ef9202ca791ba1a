//! Mounts of a view: where they are, and what is seen there.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use super::{Access, Identity, Last, Layer, Mounted, View};
use crate::container::record::{Container, MountPoint, MountSource};
use crate::container::rootfs::{Ids, open_inside};
use crate::error::{Error, Result};
use crate::ids::Acting;
use crate::volume::{Attached, LOCAL};

const HANDLE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Something that is to be mounted in a view.
pub(in crate::container) struct Wanted {
    /// The path inside.
    target: String,
    /// What is seen there.
    source: OwnedFd,
    access: Access,
    ids: Ids,
}

impl Wanted {
    /// What `container` has mounted, those above others first. `process`: the root that its first
    /// process sees, if it runs; if it doesn't, its volumes are `attached`. `ids`: whose ids are seen
    /// in what isn't ours. What isn't there (any more) is left out.
    pub(in crate::container) fn of(
        container: &Container,
        files: &[(&str, PathBuf)],
        process: Option<&OwnedFd>,
        attached: &Attached,
        ids: &Ids,
    ) -> Vec<Self> {
        let files = files.iter().filter_map(|(target, source)| {
            let source = rustix::fs::open(source, HANDLE, Mode::empty()).ok()?;
            Some(Self { target: (*target).to_owned(), source, access: Access::Write, ids: None })
        });
        let points = container.mounts.iter().filter_map(|point| {
            let access = if point.writable { Access::Write } else { Access::ReadMount };
            let source = source(point, process, &attached.places)?;
            let ids = match &point.source {
                // What is on disk has the container's.
                MountSource::Volume { name, .. }
                    if process.is_none() && !attached.foreign.contains(name) =>
                {
                    None
                }
                MountSource::Volume { driver, subpath: None, .. }
                    if process.is_some() && driver == LOCAL && !is_mount(&source) =>
                {
                    None
                }
                // As the container has it, or the host's.
                MountSource::Volume { .. }
                | MountSource::Path(_)
                | MountSource::Tmpfs { .. }
                | MountSource::Image { .. } => ids.clone(),
            };
            Some(Self { target: point.target.clone(), source, access, ids })
        });
        let mut wanted: Vec<Self> = files.chain(points).collect();
        wanted
            .sort_by_key(|wanted| wanted.target.split('/').filter(|name| !name.is_empty()).count());
        wanted
    }
}

/// What a mount shows. A volume of ours is where only we put something; of the rest, a running
/// container has what was there when it started, and what one that doesn't run has is looked up: a path
/// of the host, or the place where a volume was mounted for this.
fn source(
    point: &MountPoint,
    process: Option<&OwnedFd>,
    places: &BTreeMap<String, PathBuf>,
) -> Option<OwnedFd> {
    let path = |path: &Path| rustix::fs::open(path, HANDLE, Mode::empty()).ok();
    match (&point.source, process) {
        (MountSource::Volume { path: volume, subpath: None, driver, .. }, Some(_))
            if driver == LOCAL =>
        {
            path(volume)
        }
        (_, Some(root)) => mounted_in(root, &point.target),
        (MountSource::Volume { name, path: own, subpath, .. }, None) => {
            let volume = path(places.get(name).unwrap_or(own))?;
            match subpath {
                None => Some(volume),
                Some(subpath) => open_inside(&volume, subpath, HANDLE).ok(),
            }
        }
        (MountSource::Path(host), None) if point.non_recursive => {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            rustix::mount::open_tree(CWD, host, flags).ok()
        }
        (MountSource::Path(host), None) => path(host),
        (MountSource::Tmpfs { .. } | MountSource::Image { .. }, None) => None,
    }
}

/// What the process with this root has mounted at `target`: nothing, if something else than a
/// mount is there by now, or a file system of the kernel's.
fn mounted_in(root: &OwnedFd, target: &str) -> Option<OwnedFd> {
    let found = open_inside(root, target, HANDLE).ok()?;
    let of_kernel = [rustix::fs::PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_MAGIC, CGROUP2_MAGIC];
    let kind = rustix::fs::fstatfs(&found).ok()?.f_type;
    (is_mount(&found) && !of_kernel.contains(&kind)).then_some(found)
}

/// Whether it is the root of a mount.
fn is_mount(handle: &OwnedFd) -> bool {
    rustix::fs::statx(handle, "", rustix::fs::AtFlags::EMPTY_PATH, StatxFlags::empty())
        .is_ok_and(|facts| facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;
const CGROUP_MAGIC: rustix::fs::FsWord = 0x0027_e0eb;
const CGROUP2_MAGIC: rustix::fs::FsWord = 0x6367_7270;

impl View {
    pub(super) fn mount(&mut self, wanted: Wanted) -> Result<()> {
        let Wanted { target, source, access, ids } = wanted;
        let failed = |errno: Errno| {
            Error::io(format_args!("find the place of the mount {target}"), errno.into())
        };
        let facts = rustix::fs::fstat(&source).map_err(failed)?;
        let is_directory = FileType::from_raw_mode(facts.st_mode) == FileType::Directory;
        let found = match self.find(target.as_bytes(), Last::Follow) {
            Ok(found) => found,
            Err(stopped) if stopped.errno == Errno::NOENT => {
                self.make_place(&stopped.path, is_directory).map_err(failed)?;
                self.find(target.as_bytes(), Last::Follow)
                    .map_err(|stopped| failed(stopped.errno))?
            }
            // A container with such a mount doesn't start either.
            Err(_) => return Ok(()),
        };
        let held = found.handle.try_clone().map_err(|error| Error::io("keep a place", error))?;
        self.mounts.push(Mounted {
            covered: Identity::of(&found.stat),
            _held: held,
            path: found.path,
            layer: Layer { handle: Arc::new(source), access, ids },
        });
        Ok(())
    }

    /// Makes a place for a mount at `path`, which has no link on the way, with what is above it.
    fn make_place(&self, path: &[u8], is_directory: bool) -> std::result::Result<(), Errno> {
        let mut here = self.find(b"/", Last::Keep).map_err(|stopped| stopped.errno)?;
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        for (position, name) in names.iter().enumerate() {
            let mode = Mode::from_raw_mode(0o755);
            let _acting = acting(&here.ids)?;
            let made = if is_directory || position + 1 < names.len() {
                rustix::fs::mkdirat(&*here.handle, *name, mode)
            } else {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                rustix::fs::openat(&*here.handle, *name, flags, mode).map(drop)
            };
            match made {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            if position + 1 < names.len() {
                here = self.find_from(&here, name, Last::Keep).map_err(|stopped| stopped.errno)?;
            }
        }
        Ok(())
    }
}

/// Whoever can make files where these ids are seen.
fn acting(ids: &Ids) -> std::result::Result<Option<Acting>, Errno> {
    let begun = ids.as_deref().map(Acting::as_root_of).transpose();
    begun.map_err(|_| Errno::PERM)
}

/// The root that the process `pid` sees, if that is the root of the container whose files are at
/// `rootfs`, and not of a process that has its number by now, or of one that has changed its root.
pub(in crate::container) fn root_of_process(pid: u32, rootfs: &OwnedFd) -> Option<OwnedFd> {
    let root = rustix::fs::openat(
        CWD,
        format!("/proc/{pid}/root"),
        HANDLE | OFlags::DIRECTORY,
        Mode::empty(),
    );
    let root = root.ok()?;
    let own = Identity::of(&rustix::fs::fstat(rootfs).ok()?);
    let seen = Identity::of(&rustix::fs::fstat(&root).ok()?);
    (own == seen).then_some(root)
}
