//! The clients of a running container, between its end and its shim's: what the shim still holds
//! for them is taken over before the shim goes.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::entry::lock;
use crate::shim::Listening;

/// How long that may take. The shim holds less than a second's worth.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client that has read all may wait for the end to be known.
const SETTLING: Duration = Duration::from_secs(1);

/// The clients of one container.
#[derive(Default)]
pub(super) struct Clients {
    inner: Mutex<Carried>,
    /// Says that the container's end is known to whoever asks.
    settled: watch::Sender<()>,
}

#[derive(Default)]
struct Carried {
    carriers: Vec<JoinHandle<()>>,
    /// Turns true when the shim is about to end.
    hurry: watch::Sender<bool>,
}

impl Clients {
    /// Carries output of the container's own process to a client from now on. When the client hears
    /// of its end, it can ask for the exit code.
    pub(super) fn carry(&self, listening: Listening) {
        let mut settled = self.settled.subscribe();
        let open = listening.held_open();
        self.add(|hurried| {
            tokio::spawn(async move {
                listening.carry(hurried).await;
                tokio::spawn(async move {
                    let _ = timeout(SETTLING, settled.changed()).await;
                    drop(open);
                });
            })
        });
    }

    /// Carries output of an exec'd process to a client from now on.
    pub(super) fn carry_exec(&self, listening: Listening) {
        self.add(|hurried| tokio::spawn(listening.carry(hurried)));
    }

    /// The container's end is known.
    pub(super) fn settled(&self) {
        self.settled.send_replace(());
    }

    fn add(&self, carry: impl FnOnce(watch::Receiver<bool>) -> JoinHandle<()>) {
        let mut inner = lock(&self.inner);
        inner.carriers.retain(|carrier| !carrier.is_finished());
        let carrier = carry(inner.hurry.subscribe());
        inner.carriers.push(carrier);
    }

    /// Takes over what the shim holds for them. They may read it later.
    pub(super) async fn take_over(&self) {
        let Carried { carriers, hurry } = std::mem::take(&mut *lock(&self.inner));
        hurry.send_replace(true);
        let taken = async {
            for carrier in carriers {
                // One that was broken off has nothing more to carry.
                let _ = carrier.await;
            }
        };
        if timeout(PATIENCE, taken).await.is_err() {
            tracing::warn!("a shim doesn't give out what it holds for attached clients");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_holds_its_process_back_is_hurried() {
        let clients = Clients::default();
        clients.take_over().await;
        clients.add(|mut hurried| {
            tokio::spawn(
                async move { hurried.wait_for(|hurried| *hurried).await.map(drop).unwrap() },
            )
        });
        clients.take_over().await;
        assert!(lock(&clients.inner).carriers.is_empty());
        assert!(!*lock(&clients.inner).hurry.borrow());
    }
}
