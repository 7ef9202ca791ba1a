//! `DELETE /networks/{id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::api::Api;
use crate::error::Result;

pub(super) async fn handle(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode> {
    api.engine.networks.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
