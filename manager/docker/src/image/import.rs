//! `POST /images/create?fromSrc=…`: makes an image of an archive, which the request brings or a URL
//! names. Pulling one has the same address.

use std::io;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use tare_core::image::{Import, Reference};
use tare_core::registry::WebFile;
use tokio::sync::mpsc;

use super::pull;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::registry_auth::RegistryAuth;
use crate::stream::body_reader::BodyReader;
use crate::stream::json_lines::{self, LineEnd, Message, ProgressDetail};

/// Messages that wait for a slow client.
const BUFFERED: usize = 16;
/// Bytes between two reports of progress.
const REPORT_EVERY: u64 = 512 << 10;

pub(super) async fn handle(
    State(api): State<Api>,
    query: Query,
    RegistryAuth(credentials): RegistryAuth,
    request: Request,
) -> Result<Response> {
    if let Some(image) = query.text("fromImage") {
        return pull::handle(&api, image, &query, credentials).await;
    }
    // A client that is refused reads why only when all of its archive is taken from it.
    let archive = BodyReader::new(request.into_body());
    let source = query
        .text("fromSrc")
        .ok_or_else(|| Error::invalid("fromSrc or fromImage must be given"))?;
    let said =
        query.text("message").map_or_else(|| format!("Imported from {source}"), str::to_owned);
    let import = Import {
        reference: reference(query.text("repo"), query.text("tag"))?,
        message: said,
        changes: query.all("changes").map(str::to_owned).collect(),
        platform: query.text("platform").map(str::to_owned),
    };
    if source != "-" {
        let file = api.engine.images.registries().file(source).await?;
        return Ok(from_web(api, file, import));
    }
    let id = api.engine.images.import(archive, import).await?;
    let done = stream::iter([Message::status(id.to_string())]);
    Ok(json_lines::response(done, LineEnd::Progress))
}

/// Imports what a server gives, and tells how far it is. The answer has begun: a failure is its last
/// message.
fn from_web(api: Api, file: WebFile, import: Import) -> Response {
    let (messages, receiver) = mpsc::channel(BUFFERED);
    tokio::spawn(async move {
        let _ = messages.send(Message::status(format!("Downloading from {}", file.url()))).await;
        let archive = BodyReader::new(body(file, messages.clone()));
        let last = match api.engine.images.import(archive, import).await {
            Ok(id) => Message::status(id.to_string()),
            Err(error) => Message::failure(&Error::from(error)),
        };
        let _ = messages.send(last).await;
    });
    let messages = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|message| (message, receiver))
    });
    json_lines::response(messages, LineEnd::Progress)
}

/// The file, whose progress is told. When nobody listens any more, it breaks off.
fn body(file: WebFile, messages: mpsc::Sender<Message>) -> Body {
    let total = file.length().unwrap_or_default();
    let pieces = stream::unfold((file, 0, 0), move |(mut file, mut current, mut told)| {
        let messages = messages.clone();
        async move {
            if messages.is_closed() {
                let gone = io::Error::other("the client has gone away");
                return Some((Err(gone), (file, current, told)));
            }
            let piece = match file.next().await {
                Ok(piece) => piece?,
                Err(error) => return Some((Err(io::Error::other(error)), (file, current, told))),
            };
            current += piece.len() as u64;
            if current - told >= REPORT_EVERY || current == total {
                told = current;
                let progress_detail = Some(ProgressDetail { current, total });
                let importing = Message { progress_detail, ..Message::status("Importing") };
                let _ = messages.try_send(importing);
            }
            Some((Ok(piece), (file, current, told)))
        }
    });
    Body::from_stream(pieces)
}

/// The name that a repository and a tag make; none if there is no repository.
pub(crate) fn reference(repository: Option<&str>, tag: Option<&str>) -> Result<Option<Reference>> {
    let Some(repository) = repository else { return Ok(None) };
    let name = match tag {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    };
    Ok(Some(Reference::parse(&name)?.or_latest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_gets_a_tag() {
        let name = |repository, tag| reference(repository, tag).unwrap().unwrap().familiar();
        assert_eq!(name(Some("bb"), None), "bb:latest");
        assert_eq!(name(Some("bb"), Some("1")), "bb:1");
        assert!(reference(None, Some("1")).unwrap().is_none());
        assert!(reference(Some("B"), None).is_err());
    }
}
