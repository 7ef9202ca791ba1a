//! `export`: all that a container's root file system has, as an archive. What is mounted upon it
//! isn't in it.

use std::sync::Arc;

use super::id::ContainerId;
use super::record::Container;
use super::rootfs::Rootfs;
use super::state::State;
use super::{Containers, announce};
use crate::archived::{Archived, archived};
use crate::error::{Error, Result};
use crate::snapshot::pack::{Packer, Tree};

impl Containers {
    /// The container's files as an archive. What fails while it is written breaks it off.
    ///
    /// # Errors
    /// Conflict if the container is being removed.
    pub async fn export(self: &Arc<Self>, id: &ContainerId) -> Result<Archived> {
        let entry = self.index.get(id)?;
        let container = entry.container();
        check_not_going(&container, "export")?;
        let looking = self.looking(&entry)?;
        let containers = Arc::clone(self);
        archived(move |to| {
            let rootfs = looking.rootfs()?;
            pack(&rootfs, to)?;
            announce::announce(&containers.events, &container, "export");
            Ok(())
        })
    }
}

fn pack(rootfs: &Rootfs, to: impl std::io::Write) -> Result<()> {
    let mut packer = Packer::new(to, Tree::Merged);
    packer.pack(rootfs.handle()?, None, rootfs.ids().clone())?;
    packer.finish().map(drop)
}

/// Refuses what can't be done with a container that is on its way out, in docker's words.
pub(super) fn check_not_going(container: &Container, doing: &str) -> Result<()> {
    let id = &container.id;
    match container.state {
        State::Dead { .. } => {
            Err(Error::conflict(format!("You cannot {doing} container {id} which is Dead")))
        }
        State::Removing { .. } => Err(Error::conflict(format!(
            "You cannot {doing} container {id} which is being removed"
        ))),
        _ => Ok(()),
    }
}
