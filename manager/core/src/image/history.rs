//! How an image was made.

use super::HistoryEntry;
use super::image::Image;
use crate::error::{Error, Result};

/// The steps of `image`, newest first.
pub(super) fn history(image: &Image) -> Result<Vec<HistoryEntry>> {
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
    if let Some(newest) = entries.last_mut() {
        newest.id = Some(image.id);
        newest.tags = image.repo_tags();
    }
    entries.reverse();
    Ok(entries)
}
