//! Endpoints of volumes: docker's, and `archive`, `clone` and `rename`, which docker hasn't.

mod archive;
mod clone;
mod create;
pub(crate) mod driver;
mod inspect;
mod list;
mod prune;
mod remove;
mod rename;
mod update;
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
        .route("/volumes/{name}", get(inspect::handle).delete(remove::handle).put(update::handle))
        .route("/volumes/{name}/archive", get(archive::get).put(archive::put))
        .route("/volumes/{name}/clone", post(clone::handle))
        .route("/volumes/{name}/rename", post(rename::handle))
}
