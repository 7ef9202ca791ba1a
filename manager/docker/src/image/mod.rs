//! Endpoints of images. Names have slashes in them, so what follows `/images/` is taken apart here
//! and not by the router.

mod history;
pub(crate) mod import;
mod inspect;
pub(crate) mod list;
mod load;
mod manifests;
pub(super) mod platform;
mod prune;
mod pull;
mod push;
mod remove;
mod save;
mod select;
pub(crate) mod summary;
mod tag;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::registry_auth::RegistryAuth;
use crate::version::ApiVersion;

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/images/json", get(list::handle))
        .route("/images/create", post(import::handle))
        .route("/images/load", post(load::handle))
        .route("/images/get", get(save::several))
        .route("/images/prune", post(prune::handle))
        .route("/images/{*name}", get(get_named).post(post_named).delete(remove::handle))
}

async fn get_named(
    State(api): State<Api>,
    version: ApiVersion,
    Path(path): Path<String>,
    query: Query,
) -> Result<Response> {
    match path.rsplit_once('/') {
        Some((name, "json")) => inspect::handle(&api, version, name, &query).await,
        Some((name, "history")) => history::handle(&api, version, name, &query),
        Some((name, "get")) => save::one(&api, version, name, &query).await,
        _ => Err(Error::page_not_found()),
    }
}

async fn post_named(
    State(api): State<Api>,
    version: ApiVersion,
    Path(path): Path<String>,
    query: Query,
    RegistryAuth(credentials): RegistryAuth,
) -> Result<Response> {
    match path.rsplit_once('/') {
        Some((name, "tag")) => tag::handle(&api, name, &query).await,
        Some((name, "push")) => push::handle(&api, version, name, &query, credentials),
        _ => Err(Error::page_not_found()),
    }
}
