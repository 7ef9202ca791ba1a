//! What operations take from elsewhere.

use tare_dockerfile::plan::{Archive, Item, Operation, Origin, PlannedMountKind, StageId, Work};

/// What an operation takes, in the order in which it names it.
pub(super) enum Needed<'a> {
    /// Files of a context or a stage.
    Files(Origin, std::borrow::Cow<'a, Item>),
    /// Something that is fetched.
    Fetched(&'a Item),
}

/// All that an operation takes.
pub(super) fn sources(operation: &Operation) -> Vec<Needed<'_>> {
    use std::borrow::Cow;
    match &operation.work {
        Work::Make(_) => Vec::new(),
        Work::Copy(copying) => {
            let items = copying.items.iter().filter_map(|item| match item {
                Item::Files { origin, .. } => Some(Needed::Files(*origin, Cow::Borrowed(item))),
                Item::Url { .. } | Item::Git(_) => Some(Needed::Fetched(item)),
                Item::Document { .. } => None,
            });
            items.collect()
        }
        Work::Run(running) => {
            let mounts = running.mounts.iter().filter_map(|mount| match &mount.kind {
                PlannedMountKind::Bind { origin, path, .. }
                | PlannedMountKind::Cache { origin: Some(origin), path, .. } => {
                    Some(Needed::Files(*origin, Cow::Owned(whole(*origin, path))))
                }
                PlannedMountKind::Cache { origin: None, .. }
                | PlannedMountKind::Tmpfs { .. }
                | PlannedMountKind::Secret { .. }
                | PlannedMountKind::Ssh { .. } => None,
            });
            mounts.collect()
        }
    }
}

/// All that is at a path.
pub(super) fn whole(origin: Origin, path: &str) -> Item {
    Item::Files { origin, path: path.to_owned(), selection: None, archive: Archive::Kept }
}

/// The stages that an operation takes something from.
pub(super) fn stages(work: &Work) -> Vec<StageId> {
    let of = |origin: &Origin| match origin {
        Origin::Stage(stage) => Some(*stage),
        Origin::Context => None,
    };
    match work {
        Work::Make(_) => Vec::new(),
        Work::Copy(copying) => {
            let items = copying.items.iter().filter_map(|item| match item {
                Item::Files { origin, .. } => of(origin),
                Item::Url { .. } | Item::Git(_) | Item::Document { .. } => None,
            });
            items.collect()
        }
        Work::Run(running) => {
            let mounts = running.mounts.iter().filter_map(|mount| match &mount.kind {
                PlannedMountKind::Bind { origin, .. } => of(origin),
                PlannedMountKind::Cache { origin, .. } => origin.as_ref().and_then(of),
                PlannedMountKind::Tmpfs { .. }
                | PlannedMountKind::Secret { .. }
                | PlannedMountKind::Ssh { .. } => None,
            });
            mounts.collect()
        }
    }
}
