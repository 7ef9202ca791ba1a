//! Endpoints that ask registries: `login`, `search`, what a name stands for.

mod distribution;
mod login;
mod search;

use axum::Router;
use axum::routing::{get, post};

use crate::api::Api;

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/auth", post(login::handle))
        .route("/images/search", get(search::handle))
        .route("/distribution/{*name}", get(distribution::handle))
}
