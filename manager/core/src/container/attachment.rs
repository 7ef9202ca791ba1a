//! The two ends of a client's connection to a process's standard streams.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::options::Output;
use crate::error::{Error, Result};

/// A client's end. Dropping it detaches.
#[derive(Debug)]
pub struct Attachment {
    /// Whether the process has a terminal: all output is stdout then.
    pub terminal: bool,
    /// The way to its stdin.
    pub input: InputSender,
    /// What it writes; ends when the process has ended and all is said.
    pub output: mpsc::Receiver<Output>,
}

/// Sends to a process's stdin. Dropping it leaves stdin as it is.
#[derive(Debug, Clone)]
pub struct InputSender(mpsc::Sender<Input>);

/// What a client does to a process's stdin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// Bytes for it.
    Bytes(Bytes),
    /// Its end.
    Close,
}

/// The process's end of an [`Attachment`].
#[derive(Debug)]
pub(crate) struct Peer {
    /// What the client sends.
    pub(crate) input: mpsc::Receiver<Input>,
    /// What the client gets.
    pub(crate) output: mpsc::Sender<Output>,
}

/// Pieces that wait for a slow reader on either side before the writer waits.
const BUFFERED: usize = 16;

/// A connected pair.
pub(crate) fn pair(terminal: bool) -> (Attachment, Peer) {
    let (to_process, input) = mpsc::channel(BUFFERED);
    let (output, from_process) = mpsc::channel(BUFFERED);
    let attachment = Attachment { terminal, input: InputSender(to_process), output: from_process };
    (attachment, Peer { input, output })
}

impl InputSender {
    /// Sends `bytes`, waiting while the process reads too slowly.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::Kind::Conflict) if nobody reads any more.
    pub async fn send(&self, bytes: Bytes) -> Result<()> {
        self.0.send(Input::Bytes(bytes)).await.map_err(|_| Error::conflict("stdin is closed"))
    }

    /// Ends the process's stdin.
    pub async fn close(&self) {
        // Nobody reads any more: then it has ended anyhow.
        let _ = self.0.send(Input::Close).await;
    }
}
