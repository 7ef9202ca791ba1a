//! `POST /volumes/create`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tare_core::volume::NewVolume;

use super::driver::Driver;
use super::view::VolumeView;
use crate::api::Api;
use crate::body;
use crate::error::{Error, Result};

/// The volume that a client wants.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Body {
    name: Option<String>,
    driver: Option<String>,
    driver_opts: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    cluster_volume_spec: Option<IgnoredAny>,
}

pub(super) async fn handle(
    State(api): State<Api>,
    body::Json(body): body::Json<Body>,
) -> Result<(StatusCode, Json<VolumeView>)> {
    if body.cluster_volume_spec.is_some() {
        return Err(Error::unsupported("a volume of a cluster (ClusterVolumeSpec)"));
    }
    let name = body.name.filter(|name| !name.is_empty());
    let driver = Driver { name: body.driver, options: body.driver_opts };
    let labels = body.labels.unwrap_or_default();
    let new = NewVolume { name, labels, driver: driver.into() };
    let volume = api.engine.volumes.create(new).await?;
    Ok((StatusCode::CREATED, Json(volume.into())))
}
