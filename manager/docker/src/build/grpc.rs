//! `POST /grpc`: BuildKit's control API.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::upgrade;
use crate::api::Api;
use crate::error::{Error, Result};

pub(super) async fn handle(State(api): State<Api>, mut request: Request) -> Result<Response> {
    if let Some(reason) = upgrade::refusal(request.headers()) {
        return Err(Error::new(StatusCode::INTERNAL_SERVER_ERROR, reason));
    }
    let connection = upgrade::take(&mut request);
    let control = api.builds.clone();
    Ok(upgrade::upgrade(connection, api.closing.clone(), |connection| control.serve(connection)))
}
