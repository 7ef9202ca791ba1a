//! `GET /images/get` and `GET /images/{name}/get`: images as an archive.

use axum::extract::State;
use axum::response::Response;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::stream::archive;

/// `?names=a&names=b`
pub(super) async fn several(State(api): State<Api>, query: Query) -> Result<Response> {
    let names: Vec<String> = query.all("names").map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Error::invalid("no image to save is named"));
    }
    save(api, &names, &query).await
}

pub(super) async fn one(api: Api, name: &str, query: &Query) -> Result<Response> {
    save(api, &[name.to_owned()], query).await
}

async fn save(api: Api, names: &[String], query: &Query) -> Result<Response> {
    query.refuse("platform")?;
    archive::response(api.engine.images.save(names)?).await
}
