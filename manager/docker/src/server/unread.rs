//! What is left of a request's body when its answer is there.
//!
//! A client that finds its connection closed while it still sends doesn't see the answer, which
//! says why the rest isn't wanted. So the rest is read all the same: a little of it before the
//! answer, as docker does, since some clients complain about what they could not send; and more of
//! it behind the answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{Request, header};
use bytes::Bytes;
use futures_util::StreamExt;
use hyper::body::{Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How much is read before the answer, and how long that may take.
const BEFORE: (usize, Duration) = (256 << 10, Duration::from_millis(500));
/// How long a client may go on sending what nobody wants.
const FAREWELL: Duration = Duration::from_secs(10);

/// A body that comes back when nobody wants more of it.
struct Lent {
    body: Body,
    /// There is nothing left to be read.
    ended: bool,
    owner: Option<oneshot::Sender<Body>>,
}

/// Where a lent body comes back to, if anything of it may be left.
pub(super) struct Unread(Option<oneshot::Receiver<Body>>);

/// Lends the body of a request.
pub(super) fn lend(request: Request<Body>) -> (Request<Body>, Unread) {
    // Who waits to be told to send hears from the answer that it needn't.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return (request, Unread(None));
    }
    let (owner, back) = oneshot::channel();
    let lent = |body| Body::new(Lent { body, ended: false, owner: Some(owner) });
    (request.map(lent), Unread(Some(back)))
}

impl Unread {
    /// Reads a little of what has come back. What is still being read is left to its reader.
    pub(super) async fn read_some(self) {
        let Some(Ok(body)) = self.0.map(|mut back| back.try_recv()) else { return };
        let mut pieces = body.into_data_stream();
        let (most, patience) = BEFORE;
        let some = async {
            let mut read = 0;
            while read < most {
                match pieces.next().await {
                    Some(Ok(piece)) => read += piece.len(),
                    Some(Err(_)) | None => return true,
                }
            }
            false
        };
        if !matches!(timeout(patience, some).await, Ok(true)) {
            read_rest(Body::from_stream(pieces));
        }
    }
}

/// Reads the rest in the background.
fn read_rest(body: Body) {
    let mut rest = body.into_data_stream();
    if let Ok(runtime) = Handle::try_current() {
        let reading = async move { while let Some(Ok(_)) = rest.next().await {} };
        drop(runtime.spawn(timeout(FAREWELL, reading)));
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.ended = !matches!(frame, Some(Ok(_))) || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let body = std::mem::replace(&mut self.body, Body::empty());
        match self.owner.take().map(|owner| owner.send(body)) {
            None | Some(Ok(())) => {}
            // The answer is on its way already.
            Some(Err(body)) => read_rest(body),
        }
    }
}
