//! `POST /images/prune`: takes away images that no container uses: those without a name, or all.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::events::EventType;
use tare_core::image::Image;

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
    let may_go = move |image: &Image| {
        (!nameless_only || image.repo_tags().is_empty())
            && prune.includes(image.config.created, &image.config.defaults.labels)
    };
    let containers = Arc::clone(&api.engine.containers);
    let pruned = api.engine.images.prune(may_go, containers).await?;
    prune::announce(&api, EventType::Image, pruned.freed);
    let deleted: Vec<Item> = pruned.removed.into_iter().map(Item::from).collect();
    let images_deleted = (!deleted.is_empty()).then_some(deleted);
    Ok(Json(Report { images_deleted, space_reclaimed: pruned.freed }))
}
