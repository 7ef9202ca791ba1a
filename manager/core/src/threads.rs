//! Threads that end before what they borrow does. Where there can be no more, that is an error.

use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::error::{Error, Result};

/// Starts a thread called `name`.
///
/// # Errors
/// [`crate::Kind::Exhausted`] or [`crate::Kind::System`] if the machine has no more of them.
pub(crate) fn start<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, work)
        .map_err(|error| Error::io(format_args!("start the thread {name:?}"), error))
}

/// What the thread's work came to.
///
/// # Errors
/// [`crate::Kind::System`] if it panicked.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, T>) -> Result<T> {
    thread.join().map_err(|_| Error::system("a thread died of a defect"))
}
