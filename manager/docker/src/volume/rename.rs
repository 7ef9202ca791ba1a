//! `POST /volumes/{name}/rename`: an extension; what docker has for containers.

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
    let new = query.text("name").filter(|name| !name.is_empty());
    let new = new.ok_or_else(|| Error::invalid("bad parameter: name cannot be empty"))?;
    api.engine.volumes.rename(&name, new).await?;
    Ok(StatusCode::NO_CONTENT)
}
