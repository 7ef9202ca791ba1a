//! `POST /auth`: tries whether a registry takes these credentials.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::api::Api;
use crate::body;
use crate::error::Result;
use crate::registry_auth::AuthConfig;

/// How it went.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Status {
    status: &'static str,
    /// To be shown instead of the password from now on; empty: the registry gave none.
    identity_token: String,
}

pub(super) async fn handle(
    State(api): State<Api>,
    body::Json(config): body::Json<AuthConfig>,
) -> Result<Json<Status>> {
    let logged_in = api.engine.images.registries().login(config.into()).await?;
    let identity_token = logged_in.identity_token.unwrap_or_default();
    Ok(Json(Status { status: "Login Succeeded", identity_token }))
}
