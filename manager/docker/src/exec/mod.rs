//! Endpoints of exec instances: processes that run beside a container's own.

mod create;
mod inspect;
mod resize;
mod start;

use axum::Router;
use axum::routing::{get, post};

use crate::api::Api;

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/containers/{id}/exec", post(create::handle))
        .route("/exec/{id}/start", post(start::handle))
        .route("/exec/{id}/resize", post(resize::handle))
        .route("/exec/{id}/json", get(inspect::handle))
}
