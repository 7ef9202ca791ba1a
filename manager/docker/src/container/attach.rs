//! `POST /containers/{id}/attach`: a client at a container's own streams.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use tare_core::container::{AttachOptions, Container};
use tare_core::events::{Event, EventType};

use crate::api::Api;
use crate::error::Result;
use crate::query::Query;
use crate::stream::detach::DetachKeys;
use crate::stream::hijack::{Channel, First};
use crate::stream::session::{ClientInput, Ended, InputEnd};
use crate::version::ApiVersion;

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    Path(name): Path<String>,
    query: Query,
    request: Request,
) -> Result<Response> {
    let keys = DetachKeys::parse(query.text("detachKeys"))?;
    let container = api.engine.containers.find(&name)?;
    let options = AttachOptions {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        logs: query.flag("logs"),
        stream: query.flag("stream"),
    };
    let input = input(&container, options, keys);
    // Attached before the client hears of it: from then on it may start the container.
    let attachment = api.engine.containers.attach(&container.id, options).await?;
    let ended = move |ended| {
        if ended == Ended::Detached {
            api.engine.events.publish(detached(&container));
        }
    };
    let first = if options.logs { First::IsThere } else { First::Comes };
    Ok(Channel::of(request).connect(attachment, input, first, version, ended))
}

/// That a client left by its keys, which only this API knows of.
pub(super) fn detached(container: &Container) -> Event {
    let mut event = Event::now(EventType::Container, "detach", container.id.as_str());
    event.attributes.extend(container.config.labels.clone());
    event.with("image", container.config.image.clone()).with("name", container.name.clone())
}

/// What the client may send.
pub(super) fn input(
    container: &Container,
    options: AttachOptions,
    keys: DetachKeys,
) -> ClientInput {
    let config = &container.config;
    if !options.stdin || !options.stream {
        return ClientInput::None;
    }
    let end = if config.stdin_once && !config.tty {
        InputEnd::ClosesStdin
    } else {
        InputEnd::EndsSession
    };
    ClientInput::Stdin { end, detach_keys: config.tty.then_some(keys) }
}
