//! `POST /images/create?fromImage=…`: brings images from a registry.
//!
//! What fails before the registry has said anything is answered by a status; after that the answer
//! has begun, and a failure comes as its last message. A client that goes away ends its pull.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use tare_core::image::{LayerStep, Pull, Reference, Step};
use tare_core::registry::Credentials;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::stream::json_lines::{self, LineEnd, Message, ProgressDetail};

/// Steps that wait for a slow client.
const BUFFERED: usize = 64;

pub(super) async fn handle(
    api: &Api,
    image: &str,
    query: &Query,
    credentials: Credentials,
) -> Result<Response> {
    let name = name(image, query.text("tag"))?;
    if name.familiar_name() == "scratch" {
        return Err(Error::new(StatusCode::FORBIDDEN, "'scratch' is a reserved name"));
    }
    let request = Pull {
        all_tags: name.is_name_only(),
        name,
        platform: query.text("platform").map(str::to_owned),
        credentials,
    };
    let (steps, mut receiver) = mpsc::channel(BUFFERED);
    let (images, closing) = (Arc::clone(&api.engine.images), api.closing.clone());
    let pulling = tokio::spawn(async move {
        let client = steps.clone();
        tokio::select! {
            done = images.pull(request, steps) => done,
            () = client.closed() => Err(tare_core::Error::system("the client has gone away")),
            () = closing.wait() => Err(tare_core::Error::system("tared is ending")),
        }
    });
    let Some(first) = receiver.recv().await else {
        finished(pulling).await?;
        return Err(Error::invalid("nothing was pulled"));
    };
    let pulled = Pulled { first: Some(first), receiver, pulling: Some(pulling) };
    let messages = stream::unfold(pulled, async |mut pulled| Some((pulled.next().await?, pulled)));
    Ok(json_lines::response(messages, LineEnd::Progress))
}

/// The name that is asked for; `tag` may be a digest.
fn name(image: &str, tag: Option<&str>) -> Result<Reference> {
    let name = Reference::parse(image.strip_suffix(':').unwrap_or(image))?;
    Ok(match tag {
        None => name,
        Some(digest) if digest.contains(':') => name.with_digest(digest.parse()?),
        Some(tag) => name.with_tag(tag)?,
    })
}

/// A pull that has begun to tell.
struct Pulled {
    first: Option<Step>,
    receiver: mpsc::Receiver<Step>,
    pulling: Option<JoinHandle<tare_core::Result<()>>>,
}

impl Pulled {
    async fn next(&mut self) -> Option<Message> {
        if let Some(first) = self.first.take() {
            return Some(message(first));
        }
        if let Some(step) = self.receiver.recv().await {
            return Some(message(step));
        }
        let failure = finished(self.pulling.take()?).await.err()?;
        Some(Message::failure(&failure))
    }
}

async fn finished(pulling: JoinHandle<tare_core::Result<()>>) -> Result<()> {
    let died = |_| tare_core::Error::system("the pull was stopped");
    Ok(pulling.await.map_err(died)??)
}

fn message(step: Step) -> Message {
    match step {
        Step::Begun { repository, tag } => {
            Message { id: Some(tag), ..Message::status(format!("Pulling from {repository}")) }
        }
        Step::Layer { blob, step } => Message { id: Some(blob.short()), ..layer_message(step) },
        Step::Warning(text) => Message::status(text),
        Step::Digest(digest) => Message::status(format!("Digest: {digest}")),
        Step::Done { name, newer: true } => {
            Message::status(format!("Status: Downloaded newer image for {name}"))
        }
        Step::Done { name, newer: false } => {
            Message::status(format!("Status: Image is up to date for {name}"))
        }
    }
}

fn layer_message(step: LayerStep) -> Message {
    let (text, detail) = match step {
        LayerStep::Known => ("Already exists", ProgressDetail::default()),
        LayerStep::Announced => ("Pulling fs layer", ProgressDetail::default()),
        LayerStep::Waiting => ("Waiting", ProgressDetail::default()),
        LayerStep::Downloading { current, total } => {
            ("Downloading", ProgressDetail { current, total })
        }
        LayerStep::Retrying { seconds } => {
            let plural = if seconds == 1 { "" } else { "s" };
            return Message {
                progress_detail: Some(ProgressDetail::default()),
                ..Message::status(format!("Retrying in {seconds} second{plural}"))
            };
        }
        LayerStep::Verifying => ("Verifying Checksum", ProgressDetail::default()),
        LayerStep::Downloaded => ("Download complete", ProgressDetail::default()),
        LayerStep::Extracting { current, total } => {
            ("Extracting", ProgressDetail { current, total })
        }
        LayerStep::Complete => ("Pull complete", ProgressDetail::default()),
    };
    Message { progress_detail: Some(detail), ..Message::status(text) }
}

#[cfg(test)]
mod tests {
    use tare_core::image::Digest;

    use super::*;

    #[test]
    fn the_tag_may_be_a_digest() {
        let digest = Digest::of(b"x").to_string();
        let name = |image, tag| name(image, tag).map(|name| name.familiar());
        assert_eq!(name("busybox", Some("1")).unwrap(), "busybox:1");
        assert_eq!(name("busybox:", None).unwrap(), "busybox");
        assert_eq!(name("busybox", Some(&digest)).unwrap(), format!("busybox@{digest}"));
        assert!(name("busybox", Some("a b")).is_err());
        assert!(name("Busybox", None).is_err());
    }

    #[test]
    fn messages_are_dockers() {
        let text = |step| serde_json::to_string(&message(step)).unwrap();
        let blob = Digest::of(b"");
        let step = LayerStep::Downloading { current: 5, total: 9 };
        assert_eq!(
            text(Step::Layer { blob, step }),
            "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5,\"total\":9},\
             \"progress\":\"[===========================>                       ]       5B/9B\",\
             \"id\":\"e3b0c44298fc\"}"
        );
        assert_eq!(
            text(Step::Layer { blob, step: LayerStep::Complete }),
            "{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"e3b0c44298fc\"}"
        );
        let begun = Step::Begun { repository: "busybox".to_owned(), tag: "latest".to_owned() };
        assert_eq!(text(begun), "{\"status\":\"Pulling from busybox\",\"id\":\"latest\"}");
    }
}
