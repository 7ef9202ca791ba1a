//! The mounts of a container that shares the host's mount namespace.
//!
//! There they outlive the container, and whoever removes its directory would walk into them. So a
//! container that fails to come up takes them off again; one that came up leaves them to its
//! caller, who finds all of them below one mount.

use super::attach::open_host;
use crate::error::{Context, Result};
use crate::linux::mount::table;
use rustix::mount::{UnmountFlags, unmount};
use std::path::{Path, PathBuf};

/// A root directory on which a mount may come to lie.
#[derive(Debug)]
pub(crate) struct OnHost {
    root: PathBuf,
    /// The mount that it was on before.
    before: u64,
}

impl OnHost {
    /// Remembers on which mount `root` lies.
    pub(crate) fn remember(root: &Path) -> Result<OnHost> {
        let before =
            mount_id(root).context(|| format!("look at the mount of {}", root.display()))?;
        Ok(OnHost { root: root.to_owned(), before })
    }

    /// Takes off the mount that lies on the root since, with all that is below it.
    pub(crate) fn take_off(&self) -> rustix::io::Result<()> {
        match mount_id(&self.root)? == self.before {
            true => Ok(()),
            false => unmount(&self.root, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW),
        }
    }
}

fn mount_id(root: &Path) -> rustix::io::Result<u64> {
    table::mount_id(open_host(root)?, c"")
}
