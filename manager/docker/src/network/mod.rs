//! Endpoints of networks.

mod connect;
mod create;
mod disconnect;
mod inspect;
mod list;
mod prune;
mod remove;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tare_core::container::Container;

use crate::api::Api;
use crate::error::Result;

/// All of them.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/networks", get(list::handle))
        .route("/networks/", get(list::handle))
        .route("/networks/create", post(create::handle))
        .route("/networks/prune", post(prune::handle))
        .route("/networks/{id}", get(inspect::handle).delete(remove::handle))
        .route("/networks/{id}/connect", post(connect::handle))
        .route("/networks/{id}/disconnect", post(disconnect::handle))
}

/// The container that a request is about.
fn container(api: &Api, named: Option<String>) -> Result<Arc<Container>> {
    Ok(api.engine.containers.find(&named.unwrap_or_default())?)
}
