//! Sources of mounts that only the host's side can make: with other ids than on the host, or from
//! where root of the container's user namespace may not look.

use super::attach::clone_path;
use super::plan::{MountPlan, What};
use crate::error::{Context, Error, Result};
use crate::init::idmap::IdMaps;
use crate::linux::clone::{Forked, Kinship, fork};
use crate::linux::mount::{Change, set_attributes};
use crate::linux::system::exit;
use nix::sched::CloneFlags;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The source tree of `mount`, attached nowhere. Ids are mapped as the mount says, or else as
/// `container` maps them.
pub(crate) fn open(mount: &MountPlan, container: &IdMaps) -> Result<OwnedFd> {
    let source = mount.source.as_deref().unwrap_or(Path::new("/"));
    let what = || format!("open {}", source.display());
    let depth = match mount.what {
        What::Bind(depth) => depth,
        What::Cgroups | What::New(_) => {
            return Err(Error::invalid("only the source of a bind mount can be opened"));
        }
    };
    let tree = clone_path(CWD, source, depth).context(what)?;
    let Some(id_map) = &mount.id_map else { return Ok(tree) };
    let namespace = match &id_map.mappings {
        Some((uids, gids)) => namespace_of(&IdMaps { uids: uids.clone(), gids: gids.clone() })?,
        None => namespace_of(container)?,
    };
    let depth = id_map.depth;
    let change = Change { id_map: Some(namespace.as_fd()), ..Change::default() };
    set_attributes(&tree, depth, change).context(|| format!("map ids of {}", source.display()))?;
    Ok(tree)
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
