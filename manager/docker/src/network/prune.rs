//! `POST /networks/prune`: takes away networks that no running container is on. Those that are always
//! there stay.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::Kind;
use tare_core::events::EventType;

use crate::api::Api;
use crate::error::Result;
use crate::prune::{self, Prune};
use crate::query::Query;

/// What was taken away.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report {
    networks_deleted: Option<Vec<String>>,
}

pub(super) async fn handle(State(api): State<Api>, query: Query) -> Result<Json<Report>> {
    let prune = Prune::of(&query, &[])?;
    let mut deleted = Vec::new();
    for network in api.engine.networks.list() {
        let goes = !network.predefined
            && api.engine.networks.endpoints_on(&network.id).is_empty()
            && prune.includes(Some(network.created), &network.labels);
        if !goes {
            continue;
        }
        match api.engine.networks.remove(&network.id).await {
            Ok(()) => deleted.push(network.name),
            // It has come into use, or has been removed.
            Err(error) if matches!(error.kind(), Kind::Forbidden | Kind::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    prune::announce(&api, EventType::Network, 0);
    Ok(Json(Report { networks_deleted: (!deleted.is_empty()).then_some(deleted) }))
}
