//! `POST /images/{name}/tag`: gives an image one more name.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::import::reference;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;

pub(super) async fn handle(api: &Api, name: &str, query: &Query) -> Result<Response> {
    let target = reference(query.text("repo"), query.text("tag"))?
        .ok_or_else(|| Error::invalid("the new name (repo) is missing"))?
        .familiar();
    if target.starts_with("sha256:") {
        return Err(Error::invalid(
            "refusing to create an ambiguous tag using digest algorithm as name",
        ));
    }
    api.engine.images.tag(name, &target).await?;
    Ok(StatusCode::CREATED.into_response())
}
