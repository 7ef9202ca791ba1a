//! `DELETE /volumes/{name}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use tare_core::Kind;

use crate::api::Api;
use crate::error::Result;
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode> {
    match api.engine.volumes.remove(&name).await {
        // Who forces it wants it gone, and it is.
        Err(error) if error.kind() == Kind::NotFound && query.flag("force") => {}
        outcome => outcome?,
    }
    Ok(StatusCode::NO_CONTENT)
}
