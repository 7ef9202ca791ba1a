//! `/volumes/{name}/archive`: an extension; what is in a volume as an archive, and the other way round.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use tare_core::volume::{Devices, Restore};

use super::view::VolumeView;
use crate::api::Api;
use crate::error::Result;
use crate::query::Query;
use crate::stream::archive;
use crate::stream::body_reader::BodyReader;

/// `GET`: all that is in it.
pub(super) async fn get(State(api): State<Api>, Path(name): Path<String>) -> Result<Response> {
    archive::response(api.engine.volumes.export(&name).await?).await
}

/// `PUT`: what is to be in it.
pub(super) async fn put(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
    request: Request,
) -> Result<Json<VolumeView>> {
    // First of all: a client that is refused is still listened to.
    let files = BodyReader::new(request.into_body());
    let devices = if query.flag("devices") { Devices::Make } else { Devices::Refuse };
    let how = Restore { replace: query.flag("replace"), devices };
    Ok(Json(api.engine.volumes.restore(&name, how, files).await?.into()))
}
