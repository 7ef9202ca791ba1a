//! `POST /volumes/{name}/clone`: an extension; makes a copy of a volume.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use tare_core::volume::CloneAs;

use super::view::VolumeView;
use crate::api::Api;
use crate::body;
use crate::error::Result;

/// What the copy is to be.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Body {
    name: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    body::Json(Body { name: new, labels }): body::Json<Body>,
) -> Result<(StatusCode, Json<VolumeView>)> {
    let clone = CloneAs { name: new.filter(|name| !name.is_empty()), labels };
    let volume = api.engine.volumes.clone_volume(&name, clone).await?;
    Ok((StatusCode::CREATED, Json(volume.into())))
}
