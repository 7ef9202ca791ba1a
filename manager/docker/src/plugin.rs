//! Plugins that are installed as images: there are none, and none can be installed.

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::api::Api;
use crate::error::Error;

/// What this manager can't do with them.
const INSTALLING: &str = "installing plugins";

/// All endpoints.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/plugins", get(async || Json([(); 0])))
        .route("/plugins/privileges", get(async || Error::unsupported(INSTALLING)))
        .route("/plugins/pull", post(async || Error::unsupported(INSTALLING)))
        .route("/plugins/create", post(async || Error::unsupported("making plugins")))
        .route("/plugins/{*name}", get(inspect).post(change).delete(remove))
}

async fn inspect(Path(path): Path<String>) -> Error {
    path.strip_suffix("/json").map_or_else(Error::page_not_found, not_found)
}

/// What can be done with one that is there.
async fn change(Path(path): Path<String>) -> Error {
    let name = ["/enable", "/disable", "/set", "/push", "/upgrade"]
        .into_iter()
        .find_map(|action| path.strip_suffix(action));
    name.map_or_else(Error::page_not_found, not_found)
}

async fn remove(Path(name): Path<String>) -> Error {
    not_found(&name)
}

fn not_found(name: &str) -> Error {
    tare_core::Error::not_found(format!("plugin {name:?} not found")).into()
}
