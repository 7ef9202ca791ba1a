//! `POST /containers/{id}/kill`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use tare_core::container::Signal;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode> {
    let signal = query.text("signal").map_or(Ok(Signal::KILL), str::parse);
    kill(&api, &name, signal)
        .await
        .map_err(|error| error.while_doing(format_args!("cannot kill container: {name}")))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn kill(api: &Api, name: &str, signal: tare_core::Result<Signal>) -> Result<()> {
    let signal = signal.map_err(|error| Error::invalid(error.to_string()))?;
    let container = api.engine.containers.find(name)?;
    Ok(api.engine.containers.kill(&container.id, signal).await?)
}
