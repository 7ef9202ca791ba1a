//! `POST /images/load`: takes in the images of an archive.
//!
//! The answer begins at once and tells how it goes; a failure comes as its last message.

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use tare_core::image::{Loaded, Platform, Progress};
use tokio::sync::mpsc;

use super::platform;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::stream::body_reader::BodyReader;
use crate::stream::json_lines::{self, LineEnd, Message, ProgressDetail};
use crate::version::ApiVersion;

/// Messages that wait for a slow client.
const BUFFERED: usize = 16;

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
    request: Request,
) -> Result<Response> {
    // A client that is refused reads why only when all of its archive is taken from it.
    let archive = BodyReader::new(request.into_body());
    let platform = platform::one(&query, version, ApiVersion::new(1, 48))?;
    let quiet = query.flag_or("quiet", true);
    let (messages, receiver) = mpsc::channel(BUFFERED);
    tokio::spawn(load(api, archive, platform, quiet, messages));
    let messages = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|message| (message, receiver))
    });
    Ok(json_lines::response(messages, LineEnd::Progress))
}

/// Loads and tells. A client that has left hears nothing; its archive ends early, so that nothing
/// is loaded either.
async fn load(
    api: Api,
    archive: BodyReader,
    platform: Option<Platform>,
    quiet: bool,
    messages: mpsc::Sender<Message>,
) {
    let (sender, mut progress) = mpsc::channel(BUFFERED);
    let told = messages.clone();
    let telling = async move {
        while let Some(step) = progress.recv().await {
            if !quiet {
                let _ = told.send(layer_message(&step)).await;
            }
        }
    };
    let (loaded, ()) = tokio::join!(api.engine.images.load(archive, platform, sender), telling);
    let last = match loaded {
        Ok(images) => images.iter().flat_map(loaded_messages).collect(),
        Err(error) => vec![Message::failure(&Error::from(error))],
    };
    for message in last {
        let _ = messages.send(message).await;
    }
}

fn layer_message(step: &Progress) -> Message {
    Message {
        progress_detail: Some(ProgressDetail { current: step.current, total: step.total }),
        id: Some(step.layer.short()),
        ..Message::status("Loading layer")
    }
}

fn loaded_messages(image: &Loaded) -> Vec<Message> {
    if image.tags.is_empty() {
        return vec![Message::text(format!("Loaded image ID: {}\n", image.id))];
    }
    let mut messages = Vec::new();
    for tag in &image.tags {
        if let Some(former) = tag.taken_from {
            messages.push(Message::text(format!(
                "The image {} already exists, renaming the old one with ID {former} to empty \
                 string\n",
                tag.name
            )));
        }
        messages.push(Message::text(format!("Loaded image: {}\n", tag.name)));
    }
    messages
}

#[cfg(test)]
mod tests {
    use tare_core::image::{Digest, ImageId, LoadedTag};

    use super::*;

    fn texts(tags: Vec<LoadedTag>) -> Vec<String> {
        let image = Loaded { id: ImageId(Digest::of(b"new")), tags };
        loaded_messages(&image).into_iter().filter_map(|message| message.stream).collect()
    }

    #[test]
    fn every_tag_is_told_and_an_image_without_one_by_its_id() {
        let id = ImageId(Digest::of(b"new"));
        assert_eq!(texts(Vec::new()), [format!("Loaded image ID: {id}\n")]);
        let former = ImageId(Digest::of(b"old"));
        let tag = LoadedTag { name: "x:latest".to_owned(), taken_from: Some(former) };
        let expected = [
            format!(
                "The image x:latest already exists, renaming the old one with ID {former} to \
                 empty string\n"
            ),
            "Loaded image: x:latest\n".to_owned(),
        ];
        assert_eq!(texts(vec![tag]), expected);
    }
}
