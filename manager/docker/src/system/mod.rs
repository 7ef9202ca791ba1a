//! Endpoints about the manager itself.

mod df;
mod events;
mod info;
mod ping;
mod registries;
mod runtimes;
mod version;

use axum::Router;
use axum::routing::get;

use crate::api::Api;

/// What the manager calls itself in the header `Server`.
pub(crate) const SERVER: &str = concat!("Tare/", env!("CARGO_PKG_VERSION"), " (linux)");
/// The manager's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/_ping", get(ping::get).head(ping::head))
        .route("/version", get(version::handle))
        .route("/info", get(info::handle))
        .route("/events", get(events::handle))
        .route("/system/df", get(df::handle))
}
