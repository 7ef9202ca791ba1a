//! `POST /networks/prune`: takes away networks that no container uses. The predefined ones always
//! stay, and there are no others.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::events::EventType;

use crate::api::Api;
use crate::error::Result;
use crate::prune::{self, Prune};
use crate::query::Query;

/// What was taken away: nothing.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report {
    networks_deleted: Option<Vec<String>>,
}

pub(super) async fn handle(State(api): State<Api>, query: Query) -> Result<Json<Report>> {
    Prune::of(&query, &[])?;
    prune::announce(&api, EventType::Network, 0);
    Ok(Json(Report { networks_deleted: None }))
}
