//! `POST /images/prune`: takes away images that no container uses: those without a name, or all.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::image::RemoveImage;

use super::list::{is_used, users};
use super::remove::Item;
use crate::api::Api;
use crate::error::Result;
use crate::filter::Filters;
use crate::query::Query;

/// What was taken away.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report {
    images_deleted: Option<Vec<Item>>,
    space_reclaimed: u64,
}

pub(super) async fn handle(State(api): State<Api>, query: Query) -> Result<Json<Report>> {
    let filters = Filters::of(&query, &["dangling", "label"])?;
    let nameless_only = filters.truth("dangling")?.unwrap_or(true);
    let users = users(&api);
    let (mut deleted, mut space_reclaimed) = (Vec::new(), 0);
    for image in api.engine.images.list() {
        let goes = !is_used(&users, image.id)
            && (!nameless_only || image.references.is_empty())
            && filters.allows_labels("label", &image.config.defaults.labels);
        if !goes {
            continue;
        }
        let options = RemoveImage { force: true };
        let id = image.id.to_string();
        // One that has just come into use stays.
        match api.engine.images.remove(&id, options, &*api.engine.containers).await {
            Ok(removed) => {
                deleted.extend(removed.into_iter().map(Item::from));
                space_reclaimed += image.size;
            }
            Err(error) => tracing::info!("{id} stays: {error}"),
        }
    }
    space_reclaimed += api.engine.images.prune_parts().await?;
    let images_deleted = (!deleted.is_empty()).then_some(deleted);
    Ok(Json(Report { images_deleted, space_reclaimed }))
}
