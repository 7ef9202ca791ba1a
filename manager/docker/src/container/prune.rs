//! `POST /containers/prune`: takes away the containers that don't run.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::container::RemoveOptions;
use tare_core::events::EventType;

use crate::api::Api;
use crate::error::Result;
use crate::prune::{self, Prune};
use crate::query::Query;

/// What was taken away.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report {
    containers_deleted: Option<Vec<String>>,
    space_reclaimed: u64,
}

pub(super) async fn handle(State(api): State<Api>, query: Query) -> Result<Json<Report>> {
    let prune = Prune::of(&query, &[])?;
    let (mut deleted, mut space_reclaimed) = (Vec::new(), 0);
    let snapshots = api.engine.images.snapshots();
    for container in api.engine.containers.list() {
        let stays = container.state.is_running()
            || !prune.includes(Some(container.created), &container.config.labels);
        if stays {
            continue;
        }
        let usage = snapshots.usage(container.id.as_str()).await.unwrap_or_default();
        // One that has just been started stays.
        match api.engine.containers.remove(&container.id, RemoveOptions::default()).await {
            Ok(()) => {
                deleted.push(container.id.to_string());
                space_reclaimed += usage.bytes;
            }
            Err(error) => tracing::info!("{} stays: {error}", container.name),
        }
    }
    prune::announce(&api, EventType::Container, space_reclaimed);
    let containers_deleted = (!deleted.is_empty()).then_some(deleted);
    Ok(Json(Report { containers_deleted, space_reclaimed }))
}
