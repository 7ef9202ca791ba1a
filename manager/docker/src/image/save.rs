//! `GET /images/get` and `GET /images/{name}/get`: images as an archive.

use axum::extract::State;
use axum::response::Response;

use super::platform;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::stream::archive;
use crate::version::ApiVersion;

/// `?names=a&names=b`
pub(super) async fn several(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
) -> Result<Response> {
    let names: Vec<String> = query.all("names").map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Error::invalid("no image to save is named"));
    }
    save(&api, version, &names, &query).await
}

pub(super) async fn one(
    api: &Api,
    version: ApiVersion,
    name: &str,
    query: &Query,
) -> Result<Response> {
    save(api, version, &[name.to_owned()], query).await
}

async fn save(api: &Api, version: ApiVersion, names: &[String], query: &Query) -> Result<Response> {
    let platform = platform::one(query, version, ApiVersion::new(1, 48))?;
    archive::response(api.engine.images.save(names, platform.as_ref())?).await
}
