//! Endpoints of volumes.

mod create;
pub(crate) mod driver;
mod inspect;
mod list;
mod prune;
mod remove;
pub(crate) mod view;

use axum::Router;
use axum::routing::{get, post};

use crate::api::Api;

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/volumes", get(list::handle))
        .route("/volumes/create", post(create::handle))
        .route("/volumes/prune", post(prune::handle))
        .route("/volumes/{name}", get(inspect::handle).delete(remove::handle))
}
