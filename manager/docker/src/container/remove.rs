//! `DELETE /containers/{id}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use tare_core::container::RemoveOptions;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode> {
    if query.flag("link") {
        return Err(Error::unsupported("removing a link between containers"));
    }
    let container = api.engine.containers.find(&name)?;
    let options = RemoveOptions { force: query.flag("force"), volumes: query.flag("v") };
    api.engine.containers.remove(&container.id, options).await?;
    Ok(StatusCode::NO_CONTENT)
}
