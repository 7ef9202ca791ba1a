//! Docker's form of an archive: `manifest.json` lists configurations, layers and tags.

use serde::Deserialize;

use super::Found;
use super::spool::Spool;
use crate::error::{Error, Result};
use crate::image::reference::Reference;

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The images that `manifest` lists.
pub(super) fn find(spool: &Spool, manifest: &[u8]) -> Result<Vec<Found>> {
    let items: Option<Vec<Item>> = serde_json::from_slice(manifest).map_err(|error| {
        Error::invalid(format!("invalid archive: failed to decode manifest.json: {error}"))
    })?;
    let items = items.ok_or_else(|| {
        Error::invalid("invalid manifest, manifest cannot be null (but can be [])")
    })?;
    items.into_iter().map(|item| image(spool, item)).collect()
}

fn image(spool: &Spool, item: Item) -> Result<Found> {
    let config = spool.require(&item.config)?.clone();
    let layers = item.layers.unwrap_or_default();
    let layers: Result<Vec<_>> = layers.iter().map(|path| spool.require(path).cloned()).collect();
    let mut names = Vec::new();
    for tag in item.repo_tags.unwrap_or_default() {
        let name = Reference::parse(&tag)?;
        if name.tag().is_none() {
            return Err(Error::invalid(format!("invalid tag {tag:?}")));
        }
        names.push(name);
    }
    Ok(Found { config, layers: layers?, manifest: None, names })
}
