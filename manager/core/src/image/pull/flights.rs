//! Work that several may wait for: it is done once, and given up when nobody waits any more.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::error::{Error, Kind, Result};

/// The work that is under way, by what it is about.
pub(super) struct Flights<K, T>(Mutex<HashMap<K, Weak<Flight<T>>>>);

/// Work that is under way, or done. Ends when the last one who has it drops it.
pub(super) struct Flight<T> {
    about: T,
    outcome: watch::Receiver<Option<Outcome>>,
    work: AbortHandle,
}

/// How the work ended: an error is told to everyone who waits.
type Outcome = std::result::Result<(), (Kind, String)>;

impl<K: Hash + Eq, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, T: Send + Sync + 'static> Flights<K, T> {
    /// The work on `key`: what is under way, or what `begin` begins. That gives what can be seen of
    /// the work meanwhile and afterwards, and the work itself.
    pub(super) fn join<W>(&self, key: K, begin: impl FnOnce() -> (T, W)) -> Arc<Flight<T>>
    where
        W: Future<Output = Result<()>> + Send + 'static,
    {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, flight| flight.strong_count() > 0);
        if let Some(flight) = flights.get(&key).and_then(Weak::upgrade)
            && !flight.has_failed()
        {
            return flight;
        }
        let (about, work) = begin();
        let (tell, outcome) = watch::channel(None);
        let work = tokio::spawn(async move {
            let outcome = work.await.map_err(|error| (error.kind(), error.to_string()));
            tell.send_replace(Some(outcome));
        });
        let flight = Arc::new(Flight { about, outcome, work: work.abort_handle() });
        flights.insert(key, Arc::downgrade(&flight));
        flight
    }
}

impl<T> Flight<T> {
    /// What can be seen of the work.
    pub(super) fn about(&self) -> &T {
        &self.about
    }

    /// Waits for the end of the work.
    pub(super) async fn done(&self) -> Result<()> {
        let mut outcome = self.outcome.clone();
        let ended = outcome.wait_for(Option::is_some).await;
        match ended.as_deref() {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err((kind, text)))) => Err(Error::new(*kind, text.clone())),
            Ok(None) | Err(_) => Err(Error::system("the work of a pull died")),
        }
    }

    /// Whether it has ended well.
    pub(super) fn is_done(&self) -> bool {
        matches!(&*self.outcome.borrow(), Some(Ok(())))
    }

    fn has_failed(&self) -> bool {
        self.work.is_finished() && !self.is_done()
    }
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        self.work.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_done_once_for_all() {
        let flights = Flights::<u8, ()>::default();
        let count = Arc::new(AtomicUsize::new(0));
        let (go, gone) = oneshot::channel::<()>();
        let counted = Arc::clone(&count);
        let first = flights.join(1, || {
            let work = async move {
                let _ = gone.await;
                counted.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            ((), work)
        });
        let second = flights.join(1, || ((), async { Err(Error::invalid("not begun")) }));
        drop(first);
        go.send(()).unwrap();
        second.done().await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn it_ends_when_nobody_waits() {
        let flights = Flights::<u8, ()>::default();
        let (alive, ended) = oneshot::channel::<()>();
        let flight = flights.join(1, || {
            let work = async move {
                let _alive = alive;
                std::future::pending::<Result<()>>().await
            };
            ((), work)
        });
        drop(flight);
        ended.await.unwrap_err();
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_and_not_kept() {
        let flights = Flights::<u8, ()>::default();
        let begin = || ((), async { Err(Error::invalid("no")) });
        let flight = flights.join(1, begin);
        let other = flights.join(1, begin);
        assert_eq!(flight.done().await.unwrap_err().to_string(), "no");
        assert_eq!(other.done().await.unwrap_err().kind(), Kind::Invalid);
        let again = flights.join(1, || ((), async { Ok(()) }));
        again.done().await.unwrap();
    }
}
