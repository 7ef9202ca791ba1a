//! `GET /images/search`: asks a registry for images by a word.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::registry::Found;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::query::Query;
use crate::registry_auth::RegistryAuth;

const FILTERS: [&str; 3] = ["is-official", "is-automated", "stars"];

/// One image.
#[derive(Serialize)]
pub(super) struct Item {
    star_count: u64,
    is_official: bool,
    name: String,
    is_automated: bool,
    description: String,
}

pub(super) async fn handle(
    State(api): State<Api>,
    query: Query,
    RegistryAuth(credentials): RegistryAuth,
) -> Result<Json<Vec<Item>>> {
    let filters = Filters::of(&query, &FILTERS)?;
    let official = filters.truth("is-official")?;
    let automated = filters.truth("is-automated")?.unwrap_or(false);
    let stars = filters.values("stars").map(|value| {
        let wrong = |error| Error::invalid(format!("invalid filter 'stars={value}': {error}"));
        value.parse::<u64>().map_err(wrong)
    });
    let stars = stars.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or_default();
    // No registry builds images by itself any more.
    if automated {
        return Ok(Json(Vec::new()));
    }
    let term = query.text("term").unwrap_or_default();
    let limit = query.parse("limit")?;
    let found = api.engine.images.registries().search(term, limit, credentials).await?;
    let passes =
        |found: &Found| official.is_none_or(|yes| yes == found.official) && found.stars >= stars;
    Ok(Json(found.into_iter().filter(passes).map(Item::from).collect()))
}

impl From<Found> for Item {
    fn from(found: Found) -> Self {
        Self {
            star_count: found.stars,
            is_official: found.official,
            name: found.name,
            is_automated: false,
            description: found.description,
        }
    }
}
