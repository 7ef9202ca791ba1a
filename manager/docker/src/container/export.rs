//! `GET /containers/{id}/export`: a container's root file system as an archive.

use axum::extract::{Path, State};
use axum::response::Response;

use crate::api::Api;
use crate::error::Result;
use crate::stream::archive;

pub(super) async fn handle(State(api): State<Api>, Path(name): Path<String>) -> Result<Response> {
    let container = api.engine.containers.find(&name)?;
    let files = api.engine.containers.export(&container.id).await;
    let doing = format!("Error exporting container {name}");
    let answer = archive::response(files?).await;
    answer.map_err(|error| error.while_doing(doing))
}
