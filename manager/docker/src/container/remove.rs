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
        return unlink(&api, &name).await;
    }
    let container = api.engine.containers.find(&name)?;
    let options = RemoveOptions { force: query.flag("force"), volumes: query.flag("v") };
    api.engine.containers.remove(&container.id, options).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /containers/{parent}/{alias}?link=true`
pub(super) async fn handle_link(
    State(api): State<Api>,
    Path((parent, alias)): Path<(String, String)>,
    query: Query,
) -> Result<StatusCode> {
    if !query.flag("link") {
        return Err(Error::page_not_found());
    }
    unlink(&api, &format!("{parent}/{alias}")).await
}

async fn unlink(api: &Api, name: &str) -> Result<StatusCode> {
    api.engine.containers.unlink(name).await?;
    Ok(StatusCode::NO_CONTENT)
}
