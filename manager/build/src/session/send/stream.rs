//! A stream to a client: an archive.

use std::collections::BTreeMap;

use bytes::Bytes;
use tare_proto::builds::moby::filesync::v1::BytesMessage;
use tare_proto::builds::moby::filesync::v1::file_send_client::FileSendClient;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

use super::belongs_to;
use crate::error::{Error, Result};
use crate::session::connection::origin;
use crate::session::failure::{failed, lost};
use crate::session::{Session, metadata};

/// Bytes that are sent at once; clients refuse messages that are much larger.
const PIECE: usize = 1 << 20;

/// A stream that is being sent. Dropped before [`Sending::finish`], the client is told that it is over.
pub struct Sending {
    /// None: that was all.
    pieces: Option<mpsc::Sender<BytesMessage>>,
    /// None: it is over, and why was said.
    call: Option<JoinHandle<Result<()>>>,
    session: Session,
}

/// Begins to send export number `export`; `about` is what the client is told of it.
///
/// # Errors
/// If the client takes none.
pub fn stream(
    session: &Session,
    export: usize,
    about: &BTreeMap<String, String>,
) -> Result<Sending> {
    let (pieces, outgoing) = mpsc::channel(4);
    let mut request = Request::new(ReceiverStream::new(outgoing));
    belongs_to(session, &mut request, export)?;
    for (key, value) in about {
        metadata::set(&mut request, &format!("exporter-md-{key}"), value)?;
    }
    let call = tokio::spawn(call(session.clone(), request));
    Ok(Sending { pieces: Some(pieces), call: Some(call), session: session.clone() })
}

async fn call(session: Session, request: Request<ReceiverStream<BytesMessage>>) -> Result<()> {
    let mut client = FileSendClient::with_origin(session.link(), origin());
    let failed = |status| failed(&session, &status);
    let mut answers = client.diff_copy(request).await.map_err(failed)?.into_inner();
    while answers.message().await.map_err(failed)?.is_some() {}
    Ok(())
}

impl Sending {
    /// Sends `bytes`. It waits while the client is behind.
    ///
    /// # Errors
    /// If the client fails, or goes.
    pub async fn send(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let data = bytes.split_to(bytes.len().min(PIECE));
            let sent = match &self.pieces {
                Some(pieces) => pieces.send(BytesMessage { data }).await.is_ok(),
                None => false,
            };
            if !sent {
                self.over().await?;
                return Err(Error::system("the client wanted no more of what it is sent"));
            }
        }
        Ok(())
    }

    /// That was all: waits until the client has it.
    ///
    /// # Errors
    /// If the client fails, or goes.
    pub async fn finish(mut self) -> Result<()> {
        self.pieces = None;
        self.over().await
    }

    /// What the call came to.
    async fn over(&mut self) -> Result<()> {
        match self.call.take() {
            Some(call) => call.await.unwrap_or_else(|_| Err(lost(&self.session))),
            None => Err(lost(&self.session)),
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            call.abort();
        }
    }
}
