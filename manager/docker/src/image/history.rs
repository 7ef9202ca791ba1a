//! `GET /images/{name}/history`: how an image was made.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tare_core::image::HistoryEntry;

use super::platform;
use crate::api::Api;
use crate::error::Result;
use crate::query::Query;
use crate::version::ApiVersion;
use crate::wire::null_if_empty;

/// One step.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Step {
    comment: String,
    created: i64,
    created_by: String,
    id: String,
    size: u64,
    #[serde(serialize_with = "null_if_empty")]
    tags: Vec<String>,
}

pub(super) fn handle(
    api: &Api,
    version: ApiVersion,
    name: &str,
    query: &Query,
) -> Result<Response> {
    let platform = platform::one(query, version, ApiVersion::new(1, 48))?;
    let steps = api.engine.images.history(name, platform.as_ref())?.into_iter().map(Step::from);
    Ok(Json(steps.collect::<Vec<_>>()).into_response())
}

impl From<HistoryEntry> for Step {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            comment: entry.comment,
            created: entry.created.map_or(0, |created| created.as_second()),
            created_by: entry.created_by,
            id: entry.id.map_or_else(|| "<missing>".to_owned(), |id| id.to_string()),
            size: entry.size,
            tags: entry.tags,
        }
    }
}
