//! `GET /networks/{id}`

use axum::Json;
use axum::extract::{Path, State};

use super::view::NetworkView;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<NetworkView>> {
    let network = api.engine.networks.find(&name)?;
    match query.text("scope") {
        None | Some("local") => Ok(Json(NetworkView::whole(network, &api.engine.containers))),
        Some(_) => {
            Err(Error::from(tare_core::Error::not_found(format!("network {name} not found"))))
        }
    }
}
