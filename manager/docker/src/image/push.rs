//! `POST /images/{name}/push`: sends images to a registry. The answer begins at once; a failure
//! comes as its last message. A client that goes away ends its push.

use std::sync::Arc;

use axum::response::Response;
use futures_util::stream;
use serde_json::json;
use tare_core::image::{Push, PushStep, PushedLayer, Reference};
use tare_core::registry::Credentials;
use tokio::sync::mpsc;

use super::manifests::descriptor;
use super::platform;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::stream::json_lines::{self, LineEnd, Message, ProgressDetail};
use crate::version::ApiVersion;

/// Steps that wait for a slow client.
const BUFFERED: usize = 64;

pub(super) fn handle(
    api: &Api,
    version: ApiVersion,
    name: &str,
    query: &Query,
    credentials: Credentials,
) -> Result<Response> {
    let platform = platform::one(query, version, ApiVersion::new(1, 46))?;
    let name = Reference::parse(name)?;
    let name = match query.text("tag") {
        Some(tag) => name.with_tag(tag)?,
        None => name,
    };
    let request = Push { name, platform, credentials };
    let (steps, receiver) = mpsc::channel(BUFFERED);
    let (images, closing) = (Arc::clone(&api.engine.images), api.closing.clone());
    let pushing = tokio::spawn(async move {
        let client = steps.clone();
        tokio::select! {
            done = images.push(request, steps) => done,
            () = client.closed() => Err(tare_core::Error::system("the client has gone away")),
            () = closing.wait() => Err(tare_core::Error::system("tared is ending")),
        }
    });
    let messages = stream::unfold((receiver, Some(pushing)), async |(mut receiver, pushing)| {
        if let Some(step) = receiver.recv().await {
            return Some((messages(step), (receiver, pushing)));
        }
        let died = |_| Err(tare_core::Error::system("the push was stopped"));
        let failure = pushing?.await.unwrap_or_else(died).err()?;
        Some((vec![Message::failure(&Error::from(failure))], (receiver, None)))
    });
    let messages = futures_util::StreamExt::flat_map(messages, stream::iter);
    Ok(json_lines::response(messages, LineEnd::Progress))
}

fn messages(step: PushStep) -> Vec<Message> {
    match step {
        PushStep::Begun { repository } => {
            vec![Message::status(format!("The push refers to repository [{repository}]"))]
        }
        PushStep::Layer { layer, step } => {
            vec![Message { id: Some(layer.short()), ..layer_message(step) }]
        }
        PushStep::Instead { list, manifest } => {
            let aux = json!({
                "manifestPushedInsteadOfIndex": true,
                "originalIndex": descriptor(&list),
                "selectedManifest": descriptor(&manifest),
            });
            vec![Message { progress_detail: Some(ProgressDetail::default()), ..Message::aux(aux) }]
        }
        PushStep::Done { tag, digest, size } => {
            let aux = json!({ "Tag": tag, "Digest": digest.to_string(), "Size": size });
            vec![
                Message::status(format!("{tag}: digest: {digest} size: {size}")),
                Message { progress_detail: Some(ProgressDetail::default()), ..Message::aux(aux) },
            ]
        }
    }
}

fn layer_message(step: PushedLayer) -> Message {
    let (text, detail) = match step {
        PushedLayer::Preparing => ("Preparing".to_owned(), ProgressDetail::default()),
        PushedLayer::Waiting => ("Waiting".to_owned(), ProgressDetail::default()),
        PushedLayer::Pushing { current, total } => {
            ("Pushing".to_owned(), ProgressDetail { current, total })
        }
        PushedLayer::Pushed => ("Pushed".to_owned(), ProgressDetail::default()),
        PushedLayer::Known => ("Layer already exists".to_owned(), ProgressDetail::default()),
        PushedLayer::Mounted(from) => (format!("Mounted from {from}"), ProgressDetail::default()),
    };
    Message { progress_detail: Some(detail), ..Message::status(text) }
}

#[cfg(test)]
mod tests {
    use tare_core::image::Digest;

    use super::*;

    #[test]
    fn the_end_is_told_to_people_and_to_programs() {
        let done = PushStep::Done { tag: "1".to_owned(), digest: Digest::of(b""), size: 9 };
        let texts: Vec<String> =
            messages(done).iter().map(|message| serde_json::to_string(message).unwrap()).collect();
        let digest = Digest::of(b"");
        assert_eq!(texts[0], format!("{{\"status\":\"1: digest: {digest} size: 9\"}}"));
        assert_eq!(
            texts[1],
            format!(
                "{{\"progressDetail\":{{}},\"aux\":{{\"Digest\":\"{digest}\",\"Size\":9,\
                 \"Tag\":\"1\"}}}}"
            )
        );
    }
}
