//! Work that waits for a client, in a thread of its own: the threads that wait for the disk are counted,
//! and clients that are stuck must not take them all.

use std::thread;

use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// Work that is under way in its own thread. Dropped, it goes on.
pub(crate) struct Apart<T>(oneshot::Receiver<Result<T>>);

/// Begins `work`.
///
/// # Errors
/// [`crate::Kind::System`] if there can be no thread.
pub(crate) fn begin<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<Apart<T>> {
    let (tell, told) = oneshot::channel();
    let run = move || {
        // Who asked may have gone away.
        let _ = tell.send(work());
    };
    let started = thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map_err(|error| Error::io("start a thread", error))?;
    Ok(Apart(told))
}

impl<T> Apart<T> {
    /// Waits for its end.
    pub(crate) async fn outcome(self) -> Result<T> {
        self.0.await.unwrap_or_else(|_| Err(Error::system("a thread's work was broken off")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn there_may_be_more_than_wait_for_the_disk() {
        let many = 600;
        let all = Arc::new(Barrier::new(many + 1));
        let begun: Vec<_> = (0..many)
            .map(|number| {
                let all = Arc::clone(&all);
                let work = move || {
                    all.wait();
                    Ok(number)
                };
                begin("stuck", work).unwrap()
            })
            .collect();
        let free = tokio::task::spawn_blocking(move || {
            all.wait();
        });
        free.await.unwrap();
        for (number, work) in begun.into_iter().enumerate() {
            assert_eq!(work.outcome().await.unwrap(), number);
        }
    }

    #[tokio::test]
    async fn what_panics_is_an_error() {
        let work = begin::<()>("dies", || panic!("as it was told")).unwrap();
        assert!(work.outcome().await.unwrap_err().to_string().contains("broken off"));
    }
}
