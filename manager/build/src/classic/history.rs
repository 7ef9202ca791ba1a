//! What the history of a classic build says of what was copied: of which kind, and its digest.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use sha2::{Digest, Sha256};
use tare_core::image::DiffId;
use tare_dockerfile::image::Image;
use tare_dockerfile::plan::{Copying, Item, Operation, Origin, SOURCES, Work};

use crate::tree::Tree;

/// Says in the history of `image` what these operations have copied, each with the layer that it made.
pub(super) fn name_sources<'a>(
    image: &mut Image,
    made: impl Iterator<Item = (&'a Operation, DiffId)>,
    context: Option<&Tree>,
) {
    let copies = made.filter_map(|(operation, layer)| match &operation.work {
        Work::Copy(copying) => Some((copying, layer)),
        Work::Run(_) | Work::Make(_) => None,
    });
    let steps = image.history.iter_mut().filter(|step| step.created_by.contains(SOURCES));
    for (step, (copying, layer)) in steps.zip(copies) {
        let hex: String =
            Sha256::digest(layer.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
        let named = format!("{}:{hex}", kind(copying, context));
        step.created_by = step.created_by.replacen(SOURCES, &named, 1);
    }
}

fn kind(copying: &Copying, context: Option<&Tree>) -> &'static str {
    match copying.items.as_slice() {
        [Item::Files { origin, path, .. }] if is_directory(*origin, path, context) => "dir",
        [_] => "file",
        _ => "multi",
    }
}

fn is_directory(origin: Origin, path: &str, context: Option<&Tree>) -> bool {
    if path.ends_with('/') {
        return true;
    }
    let (Origin::Context, Some(tree)) = (origin, context) else { return false };
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(tree.root(), path, flags, Mode::empty(), within)
        .and_then(|file| rustix::fs::statat(&file, "", AtFlags::EMPTY_PATH))
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
}
