//! `POST /networks/{id}/disconnect`

use axum::extract::{Path, State};
use serde::Deserialize;

use super::container;
use crate::api::Api;
use crate::body;
use crate::error::Result;

/// Which container, and whether the network may be gone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Body {
    container: Option<String>,
    force: Option<bool>,
}

pub(super) async fn handle(
    State(api): State<Api>,
    Path(network): Path<String>,
    body::Json(body): body::Json<Body>,
) -> Result<()> {
    let container = container(&api, body.container)?;
    let forced = body.force.unwrap_or_default();
    api.engine.containers.disconnect_network(&container.id, &network, forced).await?;
    Ok(())
}
