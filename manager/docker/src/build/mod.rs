//! Endpoints of builds.
//!
//! Clients without BuildKit send a context and read how it goes ([`classic`]).
//!
//! BuildKit's clients ask for an upgrade, and from then on speak its own API on the connection: to us
//! ([`grpc`]), or we to them ([`session`]).

pub(crate) mod cancel;
mod classic;
mod grpc;
pub(crate) mod prune;
mod session;
mod upgrade;
pub(crate) mod view;

use axum::Router;
use axum::routing::post;

use crate::api::Api;

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/build", post(classic::handle))
        .route("/build/cancel", post(cancel::handle))
        .route("/build/prune", post(prune::handle))
        .route("/grpc", post(grpc::handle))
        .route("/session", post(session::handle))
}
