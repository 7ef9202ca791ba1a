//! `POST /containers/{id}/rename`

use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode> {
    let Some(new) = query.text("name") else {
        return Err(Error::invalid("Neither old nor new names may be empty"));
    };
    let container = api.engine.containers.find(&name)?;
    api.engine.containers.rename(&container.id, new.trim_start_matches('/')).await?;
    Ok(StatusCode::NO_CONTENT)
}
