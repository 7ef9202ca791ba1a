//! `POST /images/prune`: takes away images that no container uses: those without a name, or all.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::events::EventType;
use tare_core::image::{RemoveImage, Removed};

use super::list::{All, users, users_of};
use super::remove::Item;
use crate::api::Api;
use crate::error::Result;
use crate::prune::{self, Prune};
use crate::query::Query;

/// What was taken away.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report {
    images_deleted: Option<Vec<Item>>,
    space_reclaimed: u64,
}

pub(super) async fn handle(State(api): State<Api>, query: Query) -> Result<Json<Report>> {
    let prune = Prune::of(&query, &["dangling"])?;
    let nameless_only = prune.truth("dangling")?.unwrap_or(true);
    let (users, all) = (users(&api), All::of(&api));
    let sizes = sizes(&all);
    let (mut deleted, mut space_reclaimed) = (Vec::new(), 0);
    for image in all.listed() {
        let goes = users_of(&users, image) == 0
            && (!nameless_only || image.repo_tags().is_empty())
            && prune.includes(image.config.created, &image.config.defaults.labels);
        if !goes {
            continue;
        }
        let options = RemoveImage { force: true, ..RemoveImage::default() };
        let id = image.id.to_string();
        // One that has just come into use stays.
        match api.engine.images.remove(&id, options, &*api.engine.containers).await {
            Ok(removed) => {
                space_reclaimed += freed(&sizes, &removed);
                deleted.extend(removed.into_iter().map(Item::from));
            }
            Err(error) => tracing::info!("{id} stays: {error}"),
        }
    }
    space_reclaimed += api.engine.images.prune_parts().await?;
    prune::announce(&api, EventType::Image, space_reclaimed);
    let images_deleted = (!deleted.is_empty()).then_some(deleted);
    Ok(Json(Report { images_deleted, space_reclaimed }))
}

/// Bytes of each layer of all images.
fn sizes(all: &All) -> HashMap<String, u64> {
    let layers = all.images.iter().flat_map(|image| &image.layers);
    layers.map(|layer| (layer.chain_id.to_string(), layer.size)).collect()
}

/// Bytes of those layers that went with an image: others may have the rest.
fn freed(sizes: &HashMap<String, u64>, removed: &[Removed]) -> u64 {
    let gone = removed.iter().filter_map(|removed| match removed {
        Removed::Deleted(layer) => sizes.get(layer),
        Removed::Untagged(_) => None,
    });
    gone.sum()
}
