//! An archive as the body of an answer.

use std::io;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tare_core::archived::Archived;

use crate::error::Result;

/// The answer that `archive` is.
///
/// # Errors
/// Why it could not be begun; later, a client sees that the archive isn't whole, as the answer ends
/// without its end.
pub(crate) async fn response(mut archive: Archived) -> Result<Response> {
    let first = archive.next().await?;
    let pieces = stream::unfold((first, archive), async |(piece, mut archive)| {
        let piece = piece?;
        Some(match archive.next().await {
            Ok(next) => (Ok(piece), (next, archive)),
            Err(error) => {
                tracing::warn!(%error, "an archive was broken off");
                (Err(io::Error::other(error)), (None, archive))
            }
        })
    });
    let body = Body::from_stream(pieces);
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}
