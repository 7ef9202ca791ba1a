//! Sources of mounts that only the host's side can make: with other ids than on the host, or from
//! where root of the container's user namespace may not look.

use super::attach::clone_path;
use super::plan::{IdMap, MountPlan, What};
use crate::error::{Context, Error, Kind, Result};
use crate::init::channel::{receive_with_fd, send_with_fd};
use crate::init::idmap::IdMaps;
use crate::init::namespaces::Namespaces;
use crate::linux::clone::{Forked, Kinship, fork};
use crate::linux::mount::{Change, set_attributes};
use crate::linux::system::exit;
use nix::sched::{CloneFlags, setns};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Which ids a container has.
#[derive(Debug)]
pub(crate) enum ContainerIds<'a> {
    /// The host's.
    Host,
    /// Those of a user namespace of its own.
    Mapped(&'a IdMaps),
    /// Those of a user namespace that was there before.
    Joined(BorrowedFd<'a>),
}

/// The source tree of `mount`, attached nowhere. Ids are mapped as the mount says, or else as
/// `container` maps them. What lies below the container's root, `rootfs`, may have been mounted there
/// just now: it is looked for where `init` is.
pub(crate) fn open(
    mount: &MountPlan,
    container: &ContainerIds<'_>,
    rootfs: &Path,
    init: &OwnedFd,
) -> Result<OwnedFd> {
    let source = mount.source.as_deref().unwrap_or(Path::new("/"));
    let namespace = namespace_for(mount, container)?;
    match source.starts_with(rootfs) {
        true => open_inside(mount, source, namespace.as_ref(), init),
        false => take(mount, source, namespace.as_ref()),
    }
}

/// The same from where this process is, wherever the source lies.
pub(crate) fn open_here(mount: &MountPlan, container: &ContainerIds<'_>) -> Result<OwnedFd> {
    let source = mount.source.as_deref().unwrap_or(Path::new("/"));
    take(mount, source, namespace_for(mount, container)?.as_ref())
}

/// The user namespace whose mappings the mount takes.
fn namespace_for(mount: &MountPlan, container: &ContainerIds<'_>) -> Result<Option<OwnedFd>> {
    match &mount.id_map {
        None => Ok(None),
        Some(IdMap { mappings: Some((uids, gids)), .. }) => {
            namespace_of(&IdMaps { uids: uids.clone(), gids: gids.clone() }).map(Some)
        }
        Some(IdMap { mappings: None, .. }) => container.namespace().map(Some),
    }
}

impl<'a> ContainerIds<'a> {
    /// Those of a container with these namespaces; `maps` are the mappings of a new one.
    pub(crate) fn of(namespaces: &'a Namespaces, maps: &'a IdMaps) -> ContainerIds<'a> {
        let user = CloneFlags::CLONE_NEWUSER;
        match namespaces.existing(user) {
            Some(joined) => ContainerIds::Joined(joined.as_fd()),
            None if namespaces.new.contains(user) => ContainerIds::Mapped(maps),
            None => ContainerIds::Host,
        }
    }

    /// A user namespace that maps them.
    fn namespace(&self) -> Result<OwnedFd> {
        match self {
            ContainerIds::Mapped(maps) => namespace_of(maps),
            ContainerIds::Joined(fd) => {
                fd.try_clone_to_owned().context(|| "hold the container's user namespace")
            }
            ContainerIds::Host => Err(Error::invalid(
                "id-mapped mounts must have both uid and gid mappings specified",
            )),
        }
    }
}

/// Copies the tree from where this process is, and maps its ids.
fn take(mount: &MountPlan, source: &Path, namespace: Option<&OwnedFd>) -> Result<OwnedFd> {
    let depth = match mount.what {
        What::Bind(depth) => depth,
        What::Cgroups | What::New(_) => {
            return Err(Error::invalid("only the source of a bind mount can be opened"));
        }
    };
    let tree = clone_path(CWD, source, depth).context(|| format!("open {}", source.display()))?;
    if let (Some(id_map), Some(namespace)) = (&mount.id_map, namespace) {
        let change = Change { id_map: Some(namespace.as_fd()), ..Change::default() };
        set_attributes(&tree, id_map.depth, change)
            .context(|| format!("map ids of {}", source.display()))?;
    }
    Ok(tree)
}

/// Does the same among the mounts of `init`, by a process that goes there and ends.
fn open_inside(
    mount: &MountPlan,
    source: &Path,
    namespace: Option<&OwnedFd>,
    init: &OwnedFd,
) -> Result<OwnedFd> {
    let what = || "look among the container's mounts";
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context(what)?;
    let pidfd = match fork(CloneFlags::empty(), None, Kinship::Child).context(what)? {
        Forked::Child => {
            let tree = setns(init, CloneFlags::CLONE_NEWNS)
                .context(|| "setns mnt")
                .and_then(|()| take(mount, source, namespace));
            let sent = match tree {
                Ok(tree) => send_with_fd(&theirs, b"\0", Some(tree.as_fd())),
                Err(error) => send_with_fd(&theirs, error.to_string().as_bytes(), None),
            };
            exit(i32::from(sent.is_err()))
        }
        Forked::Parent { pidfd, .. } => pidfd,
    };
    drop(theirs);
    let mut text = [0u8; 4096];
    let answer = receive_with_fd(&ours, &mut text);
    let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    match answer.context(what)? {
        (_, Some(tree)) => Ok(tree),
        (length, None) => {
            let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
            Err(Error::new(Kind::System, text))
        }
    }
}

/// A user namespace with the mappings `maps`. It takes a process to make one; that ends at once.
fn namespace_of(maps: &IdMaps) -> Result<OwnedFd> {
    let what = || "make a user namespace for an id-mapped mount";
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context(what)?;
    match fork(CloneFlags::CLONE_NEWUSER, None, Kinship::Child).context(what)? {
        Forked::Child => {
            // Waits until the maker is done, or dead.
            drop(writer);
            let mut byte = [0u8; 1];
            let _ = rustix::io::read(&reader, &mut byte);
            exit(0)
        }
        Forked::Parent { pid, pidfd } => {
            let namespace = maps.write(pid).and_then(|()| {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                rustix::fs::open(format!("/proc/{pid}/ns/user"), flags, Mode::empty()).context(what)
            });
            drop(writer);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            namespace
        }
    }
}
