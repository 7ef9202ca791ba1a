//! `GET /containers/{id}/top`

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use crate::api::Api;
use crate::error::Result;
use crate::query::Query;

/// Columns that docker asks `ps` for if its user names none.
const DEFAULT: &str = "-ef";

/// The processes of a container.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Top {
    processes: Vec<Vec<String>>,
    titles: Vec<String>,
}

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<Top>> {
    let container = api.engine.containers.find(&name)?;
    let arguments = query.text("ps_args").unwrap_or(DEFAULT);
    let top = api.engine.containers.top(&container.id, arguments).await?;
    Ok(Json(Top { processes: top.processes, titles: top.titles }))
}
