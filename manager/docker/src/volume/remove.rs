//! `DELETE /volumes/{name}`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use tare_core::Kind;
use tare_core::volume::Force;

use crate::api::Api;
use crate::error::Result;
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode> {
    let force = if query.flag("force") { Force::Yes } else { Force::No };
    match api.engine.volumes.remove(&name, force).await {
        // Who forces it wants it gone, and it is.
        Err(error) if error.kind() == Kind::NotFound && force == Force::Yes => {}
        outcome => outcome?,
    }
    Ok(StatusCode::NO_CONTENT)
}
