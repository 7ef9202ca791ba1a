//! `PUT /volumes/{name}`: changes volumes of a cluster, which there is none of.

use axum::http::StatusCode;

use crate::error::Error;

pub(super) async fn handle() -> Error {
    Error::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "volume update only valid for cluster volumes, but swarm is unavailable",
    )
}
