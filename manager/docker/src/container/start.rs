//! `POST /containers/{id}/start`

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;

/// The longest body that means nothing: clients send `{}` or `null`.
const EMPTY_BODY: u64 = 7;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<StatusCode> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(0);
    if length > EMPTY_BODY || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Error::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and \
             removed in v1.24",
        ));
    }
    query.refuse("checkpoint")?;
    query.refuse("checkpoint-dir")?;
    let container = api.engine.containers.find(&name)?;
    api.engine.containers.start(&container.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
