//! The time between a process's end and its shim's: as long as attached clients haven't yet read
//! all that the process wrote, the shim that holds it stays.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::entry::lock;
use crate::shim::Listening;

/// How long an exit's report waits for clients.
const AT_ONCE: Duration = Duration::from_millis(500);
/// How long the shim waits for a client that reads slowly, or not at all.
const IN_THE_BACKGROUND: Duration = Duration::from_secs(60);

/// The clients of one container, and what ends when they have read all.
#[derive(Default)]
pub(super) struct Clients {
    carriers: Mutex<Vec<JoinHandle<()>>>,
    ending: Mutex<Option<Ending>>,
}

/// An end that waits in the background.
struct Ending {
    hurry: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Clients {
    /// Carries output to a client from now on.
    pub(super) fn carry(&self, listening: Listening) {
        let mut carriers = lock(&self.carriers);
        carriers.retain(|carrier| !carrier.is_finished());
        carriers.push(tokio::spawn(listening.carry()));
    }

    /// Runs `end` when the clients have read all that there is. It has run when this returns,
    /// unless a client is slow; then it runs later.
    pub(super) async fn then(&self, end: impl Future<Output = ()> + Send + 'static) {
        let carriers = std::mem::take(&mut *lock(&self.carriers));
        let mut read = Box::pin(async move {
            for carrier in carriers {
                // A carrier that was broken off has nothing more to carry.
                let _ = carrier.await;
            }
        });
        if tokio::time::timeout(AT_ONCE, &mut read).await.is_ok() {
            return end.await;
        }
        let (hurry, hurried) = oneshot::channel();
        let done = tokio::spawn(async move {
            tokio::select! {
                () = read => {}
                _ = hurried => {}
                () = tokio::time::sleep(IN_THE_BACKGROUND) => {}
            }
            end.await;
        });
        *lock(&self.ending) = Some(Ending { hurry, done });
    }

    /// Ends what waits in the background, now: its place is needed.
    pub(super) async fn hurry(&self) {
        let ending = lock(&self.ending).take();
        if let Some(Ending { hurry, done }) = ending {
            let _ = hurry.send(());
            let _ = done.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn flag() -> (Arc<AtomicBool>, impl Future<Output = ()> + Send + 'static) {
        let flag = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&flag);
        (flag, async move { set.store(true, Ordering::SeqCst) })
    }

    #[tokio::test]
    async fn without_clients_the_end_comes_at_once() {
        let (ended, end) = flag();
        Clients::default().then(end).await;
        assert!(ended.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_slow_client_is_waited_for_until_its_place_is_needed() {
        let clients = Clients::default();
        lock(&clients.carriers).push(tokio::spawn(std::future::pending()));
        let (ended, end) = flag();
        clients.then(end).await;
        assert!(!ended.load(Ordering::SeqCst));
        clients.hurry().await;
        assert!(ended.load(Ordering::SeqCst));
    }
}
