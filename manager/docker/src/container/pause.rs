//! `POST /containers/{id}/pause` and `/unpause`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::api::Api;
use crate::error::Result;

pub(super) async fn pause(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode> {
    let container = api.engine.containers.find(&name)?;
    api.engine.containers.pause(&container.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unpause(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    let container = api.engine.containers.find(&name)?;
    api.engine.containers.unpause(&container.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
