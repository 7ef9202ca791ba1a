//! Clients' connections to the standard streams of a process, by way of its shim.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tare_proto::tare::shim::v1::attach_request::Message as Asked;
use tare_proto::tare::shim::v1::attach_response::Message as Answered;
use tare_proto::tare::shim::v1::streams_client::StreamsClient;
use tare_proto::tare::shim::v1::{AttachOpen, AttachRequest, AttachResponse};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::Target;
use super::task::{Shim, failed, output};
use crate::container::attachment::{Input, Peer};
use crate::container::backlog::{Backlog, Terms, WhenFull};
use crate::container::options::Output;
use crate::error::{Error, Kind, Result};

/// Which streams a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

/// A client that is attached: what the process writes from now on reaches it.
pub(crate) struct Listening {
    responses: Streaming<AttachResponse>,
    /// Lives longer than the stream on it, see [`Listening::leave`].
    connection: StreamsClient<Channel>,
    output: mpsc::Sender<Output>,
    backlog: Backlog,
    /// Said or dropped: the client leaves.
    leave: oneshot::Sender<()>,
}

/// How long the shim may take to pass on what a client sent before it left.
const LAST_INPUT: Duration = Duration::from_secs(5);
/// How long it may take to let a client in.
const GREETING: Duration = Duration::from_secs(10);
/// How long the shim may take to notice that a stream has ended alone.
const FAREWELL: Duration = Duration::from_secs(1);

impl Shim {
    /// Connects `peer` to the streams of a process; it is attached when this returns.
    pub(crate) async fn attach(
        &self,
        target: Target<'_>,
        wanted: Wanted,
        terms: Terms,
        peer: Peer,
    ) -> Result<Listening> {
        let open = AttachOpen {
            id: self.id().to_owned(),
            exec_id: target.exec_id(),
            stdin: wanted.stdin,
            stdout: wanted.stdout,
            stderr: wanted.stderr,
            lossless: terms.when_full == WhenFull::Wait,
        };
        let asked = |message| AttachRequest { message: Some(message) };
        let input = ReceiverStream::new(peer.input).map(move |input| {
            asked(match input {
                Input::Bytes(bytes) => Asked::Stdin(bytes),
                Input::Close => Asked::StdinClosed(true),
            })
        });
        let (leave, leaving) = oneshot::channel();
        let left = stream::once(leaving).map(move |_| asked(Asked::Left(true)));
        let requests = stream::iter([asked(Asked::Open(open))]).chain(input).chain(left);
        let mut connection = self.streams().await?;
        let greeted = timeout(GREETING, async {
            let mut responses = connection.attach(requests).await?.into_inner();
            let first = responses.message().await?;
            Ok::<_, Status>((responses, first))
        });
        let no_answer = |_| Error::new(Kind::Unavailable, "the shim does not answer to an attach");
        match greeted.await.map_err(no_answer)?.map_err(failed)? {
            (responses, Some(AttachResponse { message: Some(Answered::Attached(_)) })) => {
                let (output, backlog) = (peer.output, Backlog::new(terms));
                Ok(Listening { responses, connection, output, backlog, leave })
            }
            (_, other) => Err(Error::system(format!("the shim answered {other:?} to an attach"))),
        }
    }
}

impl Listening {
    /// As long as this is held, the client doesn't hear of the end.
    pub(crate) fn held_open(&self) -> mpsc::Sender<Output> {
        self.output.clone()
    }

    /// Carries output to the client until the process has said all, or the client has gone. Returns
    /// when nothing more comes from the shim; what waits for the client then still reaches it.
    ///
    /// When `hurried` turns true the shim is about to end, and holds only a little: it is taken at
    /// once.
    pub(crate) async fn carry(mut self, mut hurried: watch::Receiver<bool>) {
        loop {
            let takes_more = self.backlog.takes_more() || *hurried.borrow_and_update();
            let gone = tokio::select! {
                response = self.responses.message(), if takes_more => match response {
                    Ok(Some(AttachResponse { message })) => {
                        if let Some(output) = message.and_then(output) {
                            self.backlog.push(output).await;
                        }
                        false
                    }
                    Ok(None) => break,
                    Err(status) => {
                        tracing::debug!(error = status.message(), "an attached stream broke off");
                        break;
                    }
                },
                place = self.output.reserve(), if !self.backlog.is_empty() => match place {
                    Ok(place) => {
                        if let Some(output) = self.backlog.pop().await {
                            place.send(output);
                        }
                        false
                    }
                    Err(_closed) => true,
                },
                () = self.output.closed() => true,
                () = passed(self.backlog.patience_ends()), if !takes_more => {
                    tracing::warn!("an attached client doesn't read; it misses output from now on");
                    self.backlog.give_up();
                    false
                }
                Ok(()) = hurried.changed(), if !takes_more => false,
            };
            if gone {
                return self.leave().await;
            }
        }
        let Listening { output, mut backlog, .. } = self;
        if !backlog.is_empty() {
            tokio::spawn(async move {
                while let Some(waiting) = backlog.pop().await
                    && output.send(waiting).await.is_ok()
                {}
            });
        }
    }

    /// Lets the client go when what it has sent has reached the process: to break off now would
    /// lose it.
    async fn leave(mut self) {
        drop(self.leave);
        let to_the_end = async { while let Ok(Some(_)) = self.responses.message().await {} };
        if timeout(LAST_INPUT, to_the_end).await.is_err() {
            tracing::debug!("the process does not read what a client sent before it left");
            // A stream that ends alone is a client that has left. One that ends together with its
            // connection would be a manager that has died: then stdin stays open for the next.
            drop(self.responses);
            sleep(FAREWELL).await;
            drop(self.connection);
        }
    }
}

/// Waits until `time`; for ever if there is none.
async fn passed(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
