//! Blobs in a store of the client's, such as a layout on its disk: for caches and images that are read
//! from there or written there.

use std::collections::BTreeMap;

use bytes::Bytes;
use tare_proto::builds::containerd::services::content::v1::content_client::ContentClient;
use tare_proto::builds::containerd::services::content::v1::{
    InfoRequest, ReadContentRequest, ReadContentResponse, WriteAction, WriteContentRequest,
    WriteContentResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Streaming};

use super::Session;
use super::connection::{LARGEST, Link, origin};
use super::failure::failed;
use super::metadata;
use crate::error::{Error, Result};

/// Bytes that are sent at once.
const PIECE: usize = 1 << 20;

/// A store of the client's: `local:PATH`, `oci:...` or `export`.
#[derive(Debug, Clone)]
pub struct Store {
    session: Session,
    id: String,
}

/// A blob as it is read, piece by piece.
pub struct Reader {
    session: Session,
    pieces: Streaming<ReadContentResponse>,
}

/// A blob that is being written. Dropped before [`Writer::commit`], it comes to nothing.
pub struct Writer {
    session: Session,
    requests: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
    expected: String,
    total: i64,
    offset: i64,
}

impl Store {
    /// The store that the client of `session` calls `id`.
    #[must_use]
    pub fn new(session: &Session, id: &str) -> Self {
        Self { session: session.clone(), id: id.to_owned() }
    }

    /// The size of the blob `digest`, if there is one.
    ///
    /// # Errors
    /// If the client fails, or goes.
    pub async fn size(&self, digest: &str) -> Result<Option<i64>> {
        let request = self.request(InfoRequest { digest: digest.to_owned() })?;
        match self.client().info(request).await {
            Ok(answer) => Ok(answer.into_inner().info.map(|info| info.size)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(failed(&self.session, &status)),
        }
    }

    /// Reads the blob `digest`. What comes is whatever the client sends: its digest is for the caller
    /// to check.
    ///
    /// # Errors
    /// [`tare_core::Kind::NotFound`] if there is none; if the client fails, or goes.
    pub async fn read(&self, digest: &str) -> Result<Reader> {
        let asked = ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
        let request = self.request(asked)?;
        let answer = self.client().read(request).await;
        let pieces = answer.map_err(|status| failed(&self.session, &status))?.into_inner();
        Ok(Reader { session: self.session.clone(), pieces })
    }

    /// All of the blob `digest`, which may have `most` bytes.
    ///
    /// # Errors
    /// As [`Store::read`], and if it is larger.
    pub async fn read_all(&self, digest: &str, most: usize) -> Result<Vec<u8>> {
        let (mut reader, mut all) = (self.read(digest).await?, Vec::new());
        while let Some(piece) = reader.next().await? {
            if all.len() + piece.len() > most {
                let large = format!("{digest} is larger than {most} bytes in {}", self.id);
                return Err(Error::invalid(large));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// Begins to write the blob `digest` of `total` bytes; none if it is there already.
    ///
    /// # Errors
    /// If the client fails, or goes.
    pub async fn write(&self, digest: &str, total: i64) -> Result<Option<Writer>> {
        let (requests, outgoing) = mpsc::channel(1);
        let begin = WriteContentRequest {
            action: WriteAction::Stat.into(),
            r#ref: format!("tared-{digest}"),
            total,
            expected: digest.to_owned(),
            ..WriteContentRequest::default()
        };
        // There is room for one.
        let _ = requests.try_send(begin);
        let request = self.request(ReceiverStream::new(outgoing))?;
        let begun = async {
            let mut answers = self.client().write(request).await?.into_inner();
            let first = answers.message().await?;
            Ok::<_, tonic::Status>((answers, first))
        };
        match begun.await {
            Ok((answers, first)) => Ok(Some(Writer {
                session: self.session.clone(),
                requests,
                answers,
                expected: digest.to_owned(),
                total,
                offset: first.map_or(0, |first| first.offset),
            })),
            Err(status) if status.code() == Code::AlreadyExists => Ok(None),
            Err(status) => Err(failed(&self.session, &status)),
        }
    }

    fn client(&self) -> ContentClient<Link> {
        ContentClient::with_origin(self.session.link(), origin()).max_decoding_message_size(LARGEST)
    }

    fn request<T>(&self, message: T) -> Result<Request<T>> {
        let mut request = Request::new(message);
        metadata::set(&mut request, "buildkit-attachable-store-id", &self.id)?;
        Ok(request)
    }
}

impl Reader {
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

impl Writer {
    /// How much of it the client has already, from an earlier time: that is not sent again.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Writes what comes next.
    ///
    /// # Errors
    /// If the client fails, or goes.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let data = bytes.split_to(bytes.len().min(PIECE));
            let length = i64::try_from(data.len()).unwrap_or(i64::MAX);
            let answer = self.ask(WriteAction::Write, data).await?;
            self.offset += length;
            if answer.offset != self.offset {
                let Self { offset, expected, .. } = self;
                let said = answer.offset;
                let message = format!("{expected}: the client is at {said} after {offset} bytes");
                return Err(Error::system(message));
            }
        }
        Ok(())
    }

    /// That was all. The client checks the digest.
    ///
    /// # Errors
    /// If it isn't what was promised; if the client fails, or goes.
    pub async fn commit(mut self) -> Result<()> {
        match self.ask(WriteAction::Commit, Bytes::new()).await {
            // Somebody else was faster.
            Err(error) if error.kind == tare_core::Kind::Conflict => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn ask(&mut self, action: WriteAction, data: Bytes) -> Result<WriteContentResponse> {
        let request = WriteContentRequest {
            action: action.into(),
            r#ref: String::new(),
            total: self.total,
            expected: self.expected.clone(),
            offset: self.offset,
            data,
            labels: BTreeMap::new(),
        };
        // If it fails, the reason comes as the answer.
        let _ = self.requests.send(request).await;
        match self.answers.message().await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Error::system(format!("{}: the client ended early", self.expected))),
            Err(status) => Err(failed(&self.session, &status)),
        }
    }
}
