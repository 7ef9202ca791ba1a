//! What a step sees besides its root: put together in its bundle, from where the runtime takes it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, OFlags};
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, move_mount, open_tree, unmount,
};

use super::stubs::Target;
use crate::container::bundle::Bundle;
use crate::container::record::{MountPoint, MountSource, ReadOnlyReach};
use crate::container::remapped::Users;
use crate::container::rootfs::open_inside;
use crate::error::{Error, Result};
use crate::ids::namespace;
use crate::linux;
use crate::snapshot::{Draft, Layers, SnapshotId, mapped};

/// The name of a file that is mounted alone.
const FILE: &str = "file";

/// Something that is mounted in a step.
#[derive(Clone)]
pub(crate) struct Mounted {
    /// Where.
    pub(crate) target: String,
    /// What.
    pub(crate) source: Source,
    /// Nothing can be written there.
    pub(crate) read_only: bool,
}

/// What is mounted.
#[derive(Clone)]
pub(crate) enum Source {
    /// A path of layers, uppermost first, which stay while the step runs. What is written there is
    /// thrown away.
    Layers(Vec<SnapshotId>, String),
    /// A path of a directory. What is written there is thrown away.
    Scratch(Arc<OwnedFd>, String),
    /// A path of a directory, and what is written there stays.
    Directory(Arc<OwnedFd>, String),
    /// Memory of so many bytes; none: as much as there is.
    Memory(Option<u64>),
    /// A file with this content, mode, owner and group.
    File(Vec<u8>, u32, u32, u32),
    /// A socket of the host.
    Socket(PathBuf),
}

/// What has been put together.
pub(super) struct Placed {
    pub(super) points: Vec<MountPoint>,
    /// Where it is taken from, by target.
    pub(super) staged: BTreeMap<String, PathBuf>,
    pub(super) targets: Vec<Target>,
    /// Directories for what is thrown away; they go when the step has ended.
    _drafts: Vec<Draft>,
}

/// Puts all of it together in the bundle. Blocks.
pub(super) fn place(
    mounts: &[Mounted],
    bundle: &Bundle,
    users: Option<&Users>,
    layers: &Layers,
) -> Result<Placed> {
    let held = users.map(|_| namespace::open(&bundle.users())).transpose()?;
    let held = held.as_ref().map(OwnedFd::as_fd);
    let mapped =
        users.zip(held).map(|(users, held)| mapped::Users { ids: &users.id_map, namespace: held });
    let mut placed = Placed {
        points: Vec::new(),
        staged: BTreeMap::new(),
        targets: Vec::new(),
        _drafts: Vec::new(),
    };
    for (number, mounted) in mounts.iter().enumerate() {
        let place = bundle.place(number);
        std::fs::create_dir_all(place.parent().unwrap_or(&place))
            .map_err(|error| Error::io(format!("make {}", place.display()), error))?;
        let target = match &mounted.source {
            Source::Memory(size) => {
                placed.points.push(memory(mounted, *size));
                placed.targets.push(Target::directory(&mounted.target));
                continue;
            }
            Source::Layers(stack, path) => {
                let draft = layers.draft_to_run(stack, mapped)?;
                let put = put_draft(&draft, path, &place);
                placed._drafts.push(draft);
                put
            }
            Source::Scratch(directory, path) if mounted.read_only => {
                put(directory, path, &place, held)
            }
            Source::Scratch(directory, path) => {
                let draft = layers.draft_over(directory.as_fd(), mapped)?;
                let put = put_draft(&draft, path, &place);
                placed._drafts.push(draft);
                put
            }
            Source::Directory(directory, path) => put(directory, path, &place, held),
            Source::File(content, mode, uid, gid) => {
                let owner = match users {
                    Some(users) => users.id_map.outside(*uid, *gid)?,
                    None => (*uid, *gid),
                };
                put_file(content, *mode, owner, &place)
            }
            Source::Socket(path) => {
                placed.staged.insert(mounted.target.clone(), path.clone());
                placed.points.push(point(mounted, path));
                placed.targets.push(Target::file(&mounted.target));
                continue;
            }
        };
        let kind =
            target.map_err(|error| error.while_doing(format!("mount {}", mounted.target)))?;
        placed.targets.push(match kind {
            FileType::Directory => Target::directory(&mounted.target),
            _ => Target::file(&mounted.target),
        });
        placed.points.push(point(mounted, &place));
        placed.staged.insert(mounted.target.clone(), place);
    }
    Ok(placed)
}

/// Mounts the root of a step in its bundle. Whoever has it open sees it as long as they want to.
pub(super) fn put_root(root: &OwnedFd, place: &Path) -> Result<()> {
    move_mount(root, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|error| Error::io(format!("mount {}", place.display()), error.into()))
}

fn point(mounted: &Mounted, place: &Path) -> MountPoint {
    MountPoint {
        source: MountSource::Path(place.to_owned()),
        target: mounted.target.clone(),
        mode: String::new(),
        writable: !mounted.read_only,
        propagation: None,
        non_recursive: false,
        read_only: ReadOnlyReach::IfPossible,
    }
}

fn memory(mounted: &Mounted, size: Option<u64>) -> MountPoint {
    let mut options = vec!["nosuid".to_owned(), "mode=1777".to_owned()];
    options.extend(size.map(|size| format!("size={size}")));
    if mounted.read_only {
        options.push("ro".to_owned());
    }
    MountPoint { source: MountSource::Tmpfs { options }, ..point(mounted, Path::new("")) }
}

/// Mounts what a draft has at `path` at `place`. Only what is mounted somewhere can be mounted in part,
/// so it is mounted as a whole first.
fn put_draft(draft: &Draft, path: &str, place: &Path) -> Result<FileType> {
    let root = draft.root().handle()?;
    let whole = place.with_extension("whole");
    std::fs::create_dir(&whole)
        .map_err(|error| Error::io(format!("make {}", whole.display()), error))?;
    put_root(&root, &whole)?;
    let kind = put(&root, path, place, None);
    unmount_whole(&whole)?;
    kind
}

/// Mounts a file in memory at `place`.
fn put_file(content: &[u8], mode: u32, owner: (u32, u32), place: &Path) -> Result<FileType> {
    let whole = place.with_extension("whole");
    let failed = |error: std::io::Error| Error::io("make a file for a command", error);
    std::fs::create_dir(&whole).map_err(failed)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", &whole, "tmpfs", flags, c"mode=0700").map_err(|error| failed(error.into()))?;
    let put = write(&whole.join(FILE), content, mode, owner)
        .and_then(|()| File::open(&whole))
        .map_err(failed)
        .and_then(|root| put(&root.into(), FILE, place, None));
    unmount_whole(&whole)?;
    put
}

fn unmount_whole(whole: &Path) -> Result<()> {
    unmount(whole, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(|error| Error::io(format!("unmount {}", whole.display()), error.into()))
}

/// Mounts what is at `path` below `root` at `place`, which is made as what it is. Links lead where they
/// lead below it, and never out. With `users`, it is shown with the ids that they map.
fn put(
    root: &OwnedFd,
    path: &str,
    place: &Path,
    users: Option<BorrowedFd<'_>>,
) -> Result<FileType> {
    let failed = |error: std::io::Error| Error::io(format!("mount {path}"), error);
    let path = if path.is_empty() { "/" } else { path };
    let found = open_inside(root, path, OFlags::PATH | OFlags::CLOEXEC)
        .map_err(|error| failed(error.into()))?;
    let stat = rustix::fs::fstat(&found).map_err(|error| failed(error.into()))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::Directory {
        std::fs::create_dir(place).map_err(failed)?;
    } else {
        File::create(place).map(drop).map_err(failed)?;
    }
    clone_to(found.as_fd(), place, users).map_err(failed)?;
    Ok(kind)
}

fn clone_to(
    found: BorrowedFd<'_>,
    place: &Path,
    users: Option<BorrowedFd<'_>>,
) -> std::io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(found, "", flags)?;
    if let Some(users) = users {
        linux::map_mount(tree.as_fd(), users)?;
    }
    move_mount(tree.as_fd(), "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// Writes a file that nobody else can read meanwhile.
fn write(place: &Path, content: &[u8], mode: u32, (uid, gid): (u32, u32)) -> std::io::Result<()> {
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(0o600).open(place)?;
    file.write_all(content)?;
    fchown(&file, Some(uid), Some(gid))?;
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(mode & 0o7777))?;
    Ok(())
}
