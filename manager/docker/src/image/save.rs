//! `GET /images/get` and `GET /images/{name}/get`: images as an archive.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use std::io;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;

/// Bytes between the writer of the archive and the client.
const BUFFERED: usize = 256 << 10;

/// `?names=a&names=b`
pub(super) async fn several(State(api): State<Api>, query: Query) -> Result<Response> {
    let names: Vec<String> = query.all("names").map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Error::invalid("no image to save is named"));
    }
    save(api, names, &query).await
}

pub(super) async fn one(api: Api, name: String, query: &Query) -> Result<Response> {
    save(api, vec![name], query).await
}

async fn save(api: Api, names: Vec<String>, query: &Query) -> Result<Response> {
    query.refuse("platform")?;
    let (writer, reader) = duplex(BUFFERED);
    let saving = tokio::spawn(async move { api.engine.images.save(&names, writer).await });
    let mut archive = Archive { reader, saving: Some(saving) };
    // Until the first bytes are there, a failure can still be answered as one.
    let first = archive.next().await?;
    let pieces = stream::unfold((first, archive), async |(piece, mut archive)| {
        let piece = piece?;
        let next = archive.next().await;
        Some(match next {
            Ok(next) => (Ok(piece), (next, archive)),
            // The client sees that the archive is not whole: the answer ends without its end.
            Err(error) => (Err(io::Error::other(error)), (None, archive)),
        })
    });
    let body = Body::from_stream(pieces);
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}

/// An archive that is being written.
struct Archive {
    reader: DuplexStream,
    saving: Option<JoinHandle<tare_core::Result<()>>>,
}

impl Archive {
    /// The next piece; none at the end. An error if writing failed.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut piece = BytesMut::with_capacity(BUFFERED);
        let read = self.reader.read_buf(&mut piece).await;
        let read = read.map_err(|error| Error::from(tare_core::Error::io("save", error)))?;
        if read > 0 {
            return Ok(Some(piece.freeze()));
        }
        if let Some(saving) = self.saving.take() {
            let stopped = |_| tare_core::Error::system("saving was stopped");
            saving.await.map_err(stopped)??;
        }
        Ok(None)
    }
}
