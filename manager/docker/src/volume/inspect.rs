//! `GET /volumes/{name}`

use axum::Json;
use axum::extract::{Path, State};

use super::view::VolumeView;
use crate::api::Api;
use crate::error::Result;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<VolumeView>> {
    Ok(Json(api.engine.volumes.find(&name).await?.into()))
}
