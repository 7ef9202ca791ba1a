//! `POST /build/prune`: empties the cache of builds, which nothing fills yet.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::events::EventType;

use crate::api::Api;
use crate::prune;

/// What was taken away: nothing.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report {
    caches_deleted: Option<Vec<String>>,
    space_reclaimed: u64,
}

pub(super) async fn handle(State(api): State<Api>) -> Json<Report> {
    prune::announce(&api, EventType::Builder, 0);
    Json(Report { caches_deleted: None, space_reclaimed: 0 })
}
