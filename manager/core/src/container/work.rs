//! How work is run: off the reactor if it blocks, and to its end if it changes something.

use std::future::Future;

use crate::error::{Error, Result};

/// Runs what blocks for the disk or the kernel on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(broken(&error)))
}

/// Runs a change to its end, even if whoever asked for it goes away meanwhile.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(broken(&error)))
}

fn broken(error: &tokio::task::JoinError) -> Error {
    Error::system(format!("the work was broken off: {error}"))
}
