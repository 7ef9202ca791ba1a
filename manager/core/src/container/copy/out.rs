//! From a container into an archive.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::Stat;

use super::super::id::ContainerId;
use super::super::view::{Found, Last, View};
use super::super::work::blocking;
use super::super::{Containers, announce};
use super::stat::base;
use super::{PathStat, not_there};
use crate::archived::{Archived, archived};
use crate::error::{Error, Result};
use crate::snapshot::pack::{Packer, Tree};

impl Containers {
    /// What is at `path` in the container, which its user called `name`, as an archive.
    ///
    /// # Errors
    /// Not found, in docker's words, if nothing is. What fails later breaks the archive off.
    pub async fn copy_out(
        self: &Arc<Self>,
        id: &ContainerId,
        name: &str,
        path: &str,
    ) -> Result<(PathStat, Archived)> {
        let entry = self.index.get(id)?;
        let looking = self.looking(&entry)?;
        let (name, path) = (name.to_owned(), rooted(path));
        let (view, found, stat, path) = blocking(move || {
            let view = looking.view()?;
            let found = view
                .find(path.as_bytes(), Last::Keep)
                .map_err(|stopped| not_there(&stopped, "lstat", &path, &name))?;
            let stat = PathStat::of(&view, &found, &path);
            Ok((view, found, stat, path))
        })
        .await?;
        announce::announce(&self.events, &entry.container(), "archive-path");
        Ok((stat, archived(move |to| pack(&view, &found, &path, to))?))
    }
}

/// A path as seen from the root, with what it ends in.
fn rooted(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// Packs what was found at `path` under the last part of the path.
fn pack(view: &View, found: &Found, path: &str, to: impl std::io::Write) -> Result<()> {
    let mounted = |stat: &Stat| view.mounted(stat);
    let mut packer = Packer::new(to, Tree::Seen(&mounted));
    let handle: OwnedFd =
        found.handle.try_clone().map_err(|error| Error::io("copy from a container", error))?;
    packer.pack(handle, Some(base(path).as_bytes()), found.ids.clone())?;
    packer.finish().map(drop)
}
