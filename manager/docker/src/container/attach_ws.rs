//! `GET /containers/{id}/attach/ws`: a client at a container's own streams, over a WebSocket.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use tare_core::container::AttachOptions;

use super::attach::{detached, input};
use crate::api::Api;
use crate::error::Result;
use crate::query::Query;
use crate::stream::detach::DetachKeys;
use crate::stream::session::Ended;
use crate::stream::websocket::Handshake;
use crate::version::ApiVersion;

/// The first version in which a client says which streams it wants; before, it gets all.
const CHOOSES_SINCE: ApiVersion = ApiVersion::new(1, 42);

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    Path(name): Path<String>,
    query: Query,
    request: Request,
) -> Result<Response> {
    let keys = DetachKeys::parse(query.text("detachKeys"))?;
    let container = api.engine.containers.find(&name)?;
    let wants = |stream| version < CHOOSES_SINCE || query.flag(stream);
    let options = AttachOptions {
        stdin: wants("stdin"),
        stdout: wants("stdout"),
        stderr: wants("stderr"),
        logs: query.flag("logs"),
        stream: query.flag("stream"),
    };
    let handshake = Handshake::of(request)?;
    let input = input(&container, options, keys);
    let attachment = api.engine.containers.attach(&container.id, options).await?;
    let ended = move |ended| {
        if ended == Ended::Detached {
            api.engine.events.publish(detached(&container));
        }
    };
    Ok(handshake.connect(attachment, input, ended))
}
