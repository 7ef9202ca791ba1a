//! `POST /containers/{id}/stop`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use tare_core::container::StopOptions;

use crate::api::Api;
use crate::error::Result;
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode> {
    let container = api.engine.containers.find(&name)?;
    api.engine.containers.stop(&container.id, options(&query)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `?signal=TERM&t=10`
pub(super) fn options(query: &Query) -> Result<StopOptions> {
    let signal = query.text("signal").map(str::parse).transpose()?;
    Ok(StopOptions { signal, timeout: query.parse("t")? })
}
