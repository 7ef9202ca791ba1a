//! Endpoints of networks.

mod inspect;
mod list;
mod prune;
mod view;

use axum::Router;
use axum::routing::{get, post};

use crate::api::Api;

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/networks", get(list::handle))
        .route("/networks/prune", post(prune::handle))
        .route("/networks/{id}", get(inspect::handle))
}
