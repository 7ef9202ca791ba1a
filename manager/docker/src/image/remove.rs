//! `DELETE /images/{name}`: takes a name away, and the image with its last name.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use tare_core::image::{RemoveImage, Removed};

use super::platform;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::version::ApiVersion;

/// What was taken away.
#[derive(Debug, Serialize)]
pub(crate) enum Item {
    /// An image or a layer.
    Deleted(String),
    /// A name.
    Untagged(String),
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    Path(name): Path<String>,
    query: Query,
) -> Result<Json<Vec<Item>>> {
    if name.trim().is_empty() {
        return Err(Error::invalid("image name cannot be blank"));
    }
    let platforms = platform::all(&query, "platforms", version, ApiVersion::new(1, 50))?;
    let (force, keep_parents) = (query.flag("force"), query.flag("noprune"));
    let options = RemoveImage { force, platforms, keep_parents };
    let containers = std::sync::Arc::clone(&api.engine.containers);
    let removed = api.engine.images.remove(&name, options, containers).await?;
    Ok(Json(removed.into_iter().map(Item::from).collect()))
}

impl From<Removed> for Item {
    fn from(removed: Removed) -> Self {
        match removed {
            Removed::Untagged(name) => Self::Untagged(name),
            Removed::Deleted(digest) => Self::Deleted(digest),
        }
    }
}
