//! How an image was made.

use super::HistoryEntry;
use super::image::Image;
use super::index::{Index, Indexed};
use crate::error::{Error, Result};

/// The steps of `image`, newest first. Those that made an image which it was made of here are shown
/// as that.
pub(super) fn history(index: &Index, image: &Image) -> Result<Vec<HistoryEntry>> {
    let mut layers = image.layers.iter();
    let mut entries = Vec::new();
    for step in &image.config.history {
        let size = if step.empty_layer {
            0
        } else {
            let layer = layers
                .next()
                .ok_or_else(|| Error::system("too many non-empty layers in History section"))?;
            layer.size
        };
        entries.push(HistoryEntry {
            id: None,
            created: step.created,
            created_by: step.created_by.clone(),
            tags: Vec::new(),
            size,
            comment: step.comment.clone(),
        });
    }
    entries.reverse();
    let images = std::iter::once(image.id).chain(index.ancestors(image.id));
    let images = images.map_while(|id| index.image(id).map(Indexed::shown));
    for (entry, image) in entries.iter_mut().zip(images) {
        entry.id = Some(image.id);
        entry.tags = image.repo_tags();
    }
    Ok(entries)
}
