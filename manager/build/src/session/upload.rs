//! A stream that a client was given to pass on, such as a context on its standard input.

use bytes::Bytes;
use tare_proto::builds::moby::upload::v1::BytesMessage;
use tare_proto::builds::moby::upload::v1::upload_client::UploadClient;
use tonic::{Request, Streaming};

use super::Session;
use super::connection::{LARGEST, origin};
use super::failure::failed;
use super::metadata;
use crate::error::Result;

/// What comes of it, piece by piece.
pub struct Upload {
    session: Session,
    pieces: Streaming<BytesMessage>,
}

impl Upload {
    /// Asks for the one that the client calls `http://HOST/PATH`.
    ///
    /// # Errors
    /// If the client doesn't have it, fails, or goes.
    pub async fn open(session: &Session, host: &str, path: &str) -> Result<Self> {
        let mut client =
            UploadClient::with_origin(session.link(), origin()).max_decoding_message_size(LARGEST);
        // Nothing is sent to it.
        let mut request = Request::new(tokio_stream::empty());
        metadata::set(&mut request, "urlhost", host)?;
        metadata::set(&mut request, "urlpath", path)?;
        let answer = client.pull(request).await.map_err(|status| failed(session, &status))?;
        Ok(Self { session: session.clone(), pieces: answer.into_inner() })
    }

    /// The next piece; none after the last.
    ///
    /// # Errors
    /// If the client fails, or goes.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        match self.pieces.message().await {
            Ok(piece) => Ok(piece.map(|piece| piece.data)),
            Err(status) => Err(failed(&self.session, &status)),
        }
    }
}
