//! Endpoints of containers.

mod archive;
mod attach;
mod attach_ws;
mod changes;
mod commit;
mod create;
mod export;
pub(crate) mod graph_driver;
mod inspect;
mod kill;
pub(crate) mod list;
mod logs;
mod pause;
mod prune;
mod remove;
mod rename;
mod request;
mod resize;
mod restart;
mod start;
mod stats;
mod status;
mod stop;
pub(crate) mod summary;
mod top;
mod update;
mod view;
mod wait;

use axum::Router;
use axum::routing::{delete, get, post};

use crate::api::Api;

pub(crate) use request::EndpointBody;
pub(crate) use resize::size;

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/containers/json", get(list::handle))
        .route("/containers/create", post(create::handle))
        .route("/containers/prune", post(prune::handle))
        .route("/containers/{id}", delete(remove::handle))
        .route("/containers/{id}/{alias}", delete(remove::handle_link))
        .route("/containers/{id}/json", get(inspect::handle))
        .route("/containers/{id}/{alias}/json", get(inspect::handle_link))
        .route("/containers/{id}/top", get(top::handle))
        .route("/containers/{id}/stats", get(stats::handle))
        .route("/containers/{id}/logs", get(logs::handle))
        .route("/containers/{id}/start", post(start::handle))
        .route("/containers/{id}/stop", post(stop::handle))
        .route("/containers/{id}/restart", post(restart::handle))
        .route("/containers/{id}/kill", post(kill::handle))
        .route("/containers/{id}/pause", post(pause::pause))
        .route("/containers/{id}/unpause", post(pause::unpause))
        .route("/containers/{id}/update", post(update::handle))
        .route("/containers/{id}/rename", post(rename::handle))
        .route("/containers/{id}/resize", post(resize::handle))
        .route("/containers/{id}/wait", post(wait::handle))
        .route("/commit", post(commit::handle))
        .route("/containers/{id}/changes", get(changes::handle))
        .route("/containers/{id}/export", get(export::handle))
        .route("/containers/{id}/attach", post(attach::handle))
        .route("/containers/{id}/attach/ws", get(attach_ws::handle))
        .route("/containers/{id}/archive", get(archive::get).head(archive::head).put(archive::put))
}
