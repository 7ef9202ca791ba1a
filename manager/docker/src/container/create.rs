//! `POST /containers/create`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tare_core::Kind;
use tare_core::container::Create;
use tare_core::image::Platform;

use super::request::{self, CreateBody, Wanted};
use crate::api::Api;
use crate::body;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::version::ApiVersion;

/// The container that was made.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    id: String,
    warnings: Vec<String>,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
    body::Noticed { value, unknown }: body::Noticed<CreateBody>,
) -> Result<(StatusCode, Json<Created>)> {
    let platform = query.text("platform").map(Platform::parse).transpose()?;
    let Wanted { config, host, warnings } = value.into_domain(version)?;
    let name = query.text("name").map(|name| name.trim_start_matches('/').to_owned());
    let image = config.image.clone();
    let request = Create { name, config, host, platform: platform.clone() };
    let created = api.engine.containers.create(request).await;
    let created = created.map_err(|error| refused(&api, &image, platform.as_ref(), error))?;
    let unknown = request::unknown(unknown);
    let warnings = created.warnings.into_iter().chain(warnings).chain(unknown).collect();
    let created = Created { id: created.id.to_string(), warnings };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Clients take "not found" for a missing image, and go to fetch it. If the image is there, what is
/// missing is something else that the request names.
fn refused(api: &Api, image: &str, platform: Option<&Platform>, error: tare_core::Error) -> Error {
    let is_there = || api.engine.images.resolve_for(image, platform).is_ok();
    if error.kind() == Kind::NotFound && is_there() {
        return Error::invalid(error.to_string());
    }
    error.into()
}
