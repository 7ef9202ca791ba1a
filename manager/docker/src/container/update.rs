//! `POST /containers/{id}/update`: other limits, another restart policy.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::request::{self, UpdateBody};
use crate::api::Api;
use crate::body;
use crate::error::Result;
use crate::version::ApiVersion;
use crate::wire::null_if_empty;

/// What its user should know.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Updated {
    #[serde(serialize_with = "null_if_empty")]
    warnings: Vec<String>,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    Path(name): Path<String>,
    body::Noticed { value: body, unknown }: body::Noticed<UpdateBody>,
) -> Result<Json<Updated>> {
    let left_out = body.discarded().into_iter().chain(request::unknown(unknown));
    let update = body.into_domain(version)?;
    let container = api.engine.containers.find(&name)?;
    let mut warnings = api.engine.containers.update(&container.id, update).await?;
    warnings.extend(left_out);
    Ok(Json(Updated { warnings }))
}
