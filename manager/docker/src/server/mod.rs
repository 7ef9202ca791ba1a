//! The server: takes connections until the daemon ends, and lets what is under way end then.

mod answer;
mod connection;
mod listener;
#[cfg(test)]
mod tests;
mod unread;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::api::{Api, Closing, Served};
use crate::{metrics, routes};

pub use listener::Listener;

/// How long to wait with the next connection when the process has no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Serves the API on `listener` until `shutdown` is ready: then no more connections are taken,
/// followers of events and logs are let go, and other requests get as long to end as it says, or
/// what they need.
pub async fn serve(
    listener: Listener,
    served: Arc<Served>,
    shutdown: impl Future<Output = Option<Duration>> + Send,
) {
    serve_routes(listener, |closing| routes::router(Api { served, closing }), shutdown).await;
}

/// Serves what monitoring asks for, and nothing else.
pub async fn serve_metrics(
    listener: Listener,
    served: Arc<Served>,
    shutdown: impl Future<Output = Option<Duration>> + Send,
) {
    let router = |closing| metrics::router(Api { served, closing });
    serve_routes(listener, router, shutdown).await;
}

async fn serve_routes(
    listener: Listener,
    router: impl FnOnce(Closing) -> Router,
    shutdown: impl Future<Output = Option<Duration>> + Send,
) {
    let (close, closing) = watch::channel(false);
    let closing = Closing::new(closing);
    let router = router(closing.clone());
    // Every connection holds a sender; when the last is gone, so are the connections.
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let mut shutdown = pin!(shutdown);
    let patience = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, encryption)) => {
                    let (router, closing, alive) = (router.clone(), closing.clone(), alive.clone());
                    tokio::spawn(async move {
                        connection::serve(socket, encryption, router, closing).await;
                        drop(alive);
                    });
                }
                Err(error) => refused(&error).await,
            },
            patience = &mut shutdown => break patience,
        }
    };
    drop((listener, alive));
    close.send_replace(true);
    let gone = all_gone.recv();
    let in_time = match patience {
        Some(patience) => timeout(patience, gone).await.is_ok(),
        None => gone.await.is_none(),
    };
    if !in_time {
        tracing::warn!("some requests did not end in time; their clients are cut off");
    }
}

/// What is to be done about a connection that could not be taken.
async fn refused(error: &io::Error) {
    // A client that has changed its mind is none of our business.
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tracing::warn!("can't take a connection: {error}");
        sleep(EXHAUSTED).await;
    }
}
