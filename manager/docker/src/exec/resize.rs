//! `POST /exec/{id}/resize`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::api::Api;
use crate::container::size;
use crate::error::Result;
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(id): Path<String>,
    query: Query,
) -> Result<StatusCode> {
    api.engine.containers.exec_resize(&id, size(&query)?).await?;
    Ok(StatusCode::OK)
}
