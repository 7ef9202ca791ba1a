//! `diff`: what a container has changed in its image.

mod made;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::Containers;
use super::id::ContainerId;
use super::work::blocking;
use crate::error::Result;
use crate::snapshot::Upper;

pub(super) use made::MadeByStart;

/// Something that a container changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path.
    pub path: String,
    /// What became of it.
    pub kind: ChangeKind,
}

/// What became of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was changed, or something in it was.
    Modified,
    /// The image doesn't have it.
    Added,
    /// The image has it, and the container doesn't.
    Deleted,
}

impl Containers {
    /// What the container has changed, by path.
    ///
    /// # Errors
    /// Not found if it is gone.
    pub async fn changes(self: &Arc<Self>, id: &ContainerId) -> Result<Vec<Change>> {
        let container = self.index.get(id)?.container();
        let snapshots = self.images.snapshots().clone();
        blocking(move || {
            let Upper { own, lowers, .. } = snapshots.upper(container.id.as_str())?;
            walk::changes(&own, &lowers)
        })
        .await
    }
}
