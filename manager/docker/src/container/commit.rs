//! `POST /commit`: makes an image of a container.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tare_core::container::CommitOptions;

use super::request::CreateBody;
use crate::api::Api;
use crate::body::OptionalJson;
use crate::error::Result;
use crate::image::import::reference;
use crate::query::Query;
use crate::version::ApiVersion;

/// The image that was made.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Committed {
    id: String,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
    OptionalJson(config): OptionalJson<Option<CreateBody>>,
) -> Result<(StatusCode, Json<Committed>)> {
    let container = api.engine.containers.find(query.text("container").unwrap_or_default())?;
    let text = |name| query.text(name).unwrap_or_default().to_owned();
    let options = CommitOptions {
        reference: reference(query.text("repo"), query.text("tag"))?,
        author: text("author"),
        message: text("comment"),
        changes: query.all("changes").map(str::to_owned).collect(),
        config: config.map(|config| config.into_config(version)).transpose()?,
        pause: query.text("pause").is_none() || query.flag("pause"),
    };
    let image = api.engine.containers.commit_image(&container.id, options).await?;
    Ok((StatusCode::CREATED, Json(Committed { id: image.to_string() })))
}
