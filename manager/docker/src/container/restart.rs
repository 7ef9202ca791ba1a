//! `POST /containers/{id}/restart`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::stop::options;
use crate::api::Api;
use crate::error::Result;
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode> {
    let container = api.engine.containers.find(&name)?;
    api.engine.containers.restart(&container.id, options(&query)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
