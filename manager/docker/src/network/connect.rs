//! `POST /networks/{id}/connect`

use axum::extract::{Path, State};
use serde::Deserialize;

use super::container;
use crate::api::Api;
use crate::body;
use crate::container::EndpointBody;
use crate::error::Result;

/// Which container, and how.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Body {
    container: Option<String>,
    endpoint_config: Option<EndpointBody>,
}

pub(super) async fn handle(
    State(api): State<Api>,
    Path(network): Path<String>,
    body::Json(body): body::Json<Body>,
) -> Result<()> {
    let container = container(&api, body.container)?;
    let wanted = body.endpoint_config.unwrap_or_default().into_domain()?;
    api.engine.containers.connect_network(&container.id, &network, wanted).await?;
    Ok(())
}
