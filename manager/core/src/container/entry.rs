//! One container as this manager holds it: the published snapshot, and what only exists in memory.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::attachment::Peer;
use super::linger::Clients;
use super::options::{ExitOutcome, WaitCondition};
use super::record::Container;
use super::rootfs::Rootfs;
use super::state::State;
use crate::error::{Error, Kind, Result};
use crate::shim::{Shim, Wanted};

/// A container in memory.
pub(super) struct Entry {
    published: ArcSwap<Container>,
    /// Held by whoever changes the container; never by readers, never while waiting for a process.
    pub(super) doing: tokio::sync::Mutex<()>,
    shim: Mutex<Option<Shim>>,
    /// Set while it is stopped only to be started again: then its end doesn't remove it.
    pub(super) restarting: AtomicBool,
    waiters: Mutex<Vec<Waiter>>,
    waiting: Mutex<Vec<Client>>,
    /// Clients that get output.
    pub(super) clients: Clients,
    /// The root file system of a container that doesn't run, while someone looks into it.
    pub(super) rootfs: Mutex<Weak<Rootfs>>,
}

/// Somebody who waits.
struct Waiter {
    condition: WaitCondition,
    wake: oneshot::Sender<ExitOutcome>,
}

/// A client that attached before there was a process.
pub(super) struct Client {
    pub(super) wanted: Wanted,
    pub(super) peer: Peer,
}

impl Entry {
    /// A container as its record says it is.
    pub(super) fn new(container: Container) -> Self {
        Self {
            published: ArcSwap::from_pointee(container),
            doing: tokio::sync::Mutex::new(()),
            shim: Mutex::new(None),
            restarting: AtomicBool::new(false),
            waiters: Mutex::new(Vec::new()),
            waiting: Mutex::new(Vec::new()),
            clients: Clients::default(),
            rootfs: Mutex::default(),
        }
    }

    /// The container as it is now.
    pub(super) fn container(&self) -> Arc<Container> {
        self.published.load_full()
    }

    /// Shows readers the container as it is from now on.
    pub(super) fn publish(&self, container: Arc<Container>) {
        self.published.store(container);
    }

    /// The shim of a running container.
    ///
    /// # Errors
    /// Conflict if it doesn't run, unavailable if its shim hasn't answered since this manager came.
    pub(super) fn shim(&self) -> Result<Shim> {
        if let Some(shim) = &*lock(&self.shim) {
            return Ok(shim.clone());
        }
        let container = self.container();
        if !container.state.is_running() {
            return Err(not_running(&container));
        }
        let id = &container.id;
        Err(Error::new(
            Kind::Unavailable,
            format!("the shim of container {id} does not answer; try again later"),
        ))
    }

    /// Sets or clears the shim.
    pub(super) fn set_shim(&self, shim: Option<Shim>) {
        *lock(&self.shim) = shim;
    }

    /// Registers a waiter.
    pub(super) fn wait(&self, condition: WaitCondition) -> oneshot::Receiver<ExitOutcome> {
        let (wake, woken) = oneshot::channel();
        let mut waiters = lock(&self.waiters);
        // The lock is held over this look, and by those who wake over theirs: none is forgotten.
        let container = self.container();
        if condition == WaitCondition::NotRunning && !container.state.is_running() {
            let _ = wake.send(outcome(&container.state));
        } else {
            waiters.retain(|waiter| !waiter.wake.is_closed());
            waiters.push(Waiter { condition, wake });
        }
        woken
    }

    /// Publishes `container`, which has just ended, and wakes those who waited for that.
    pub(super) fn publish_exit(&self, container: Arc<Container>) {
        let outcome = outcome(&container.state);
        self.publish_and_wake(container, &outcome, |condition| match condition {
            WaitCondition::NotRunning | WaitCondition::NextExit => true,
            WaitCondition::Removed => false,
        });
    }

    /// Wakes everybody: the container is gone.
    pub(super) fn wake_all(&self) {
        let container = self.container();
        let outcome = outcome(&container.state);
        self.publish_and_wake(container, &outcome, |_| true);
    }

    fn publish_and_wake(
        &self,
        container: Arc<Container>,
        outcome: &ExitOutcome,
        met: impl Fn(WaitCondition) -> bool,
    ) {
        let mut waiters = lock(&self.waiters);
        self.publish(container);
        let all = std::mem::take(&mut *waiters);
        for waiter in all {
            if met(waiter.condition) {
                // An error means that it has gone.
                let _ = waiter.wake.send(outcome.clone());
            } else {
                waiters.push(waiter);
            }
        }
    }

    /// Keeps a client until there is a process.
    pub(super) fn add_client(&self, client: Client) {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|client| !client.peer.output.is_closed());
        waiting.push(client);
    }

    /// The clients that came before there was a process.
    pub(super) fn take_clients(&self) -> Vec<Client> {
        std::mem::take(&mut *lock(&self.waiting))
    }
}

/// How a container that doesn't run has ended.
fn outcome(state: &State) -> ExitOutcome {
    let error = Some(state.error()).filter(|error| !error.is_empty()).map(str::to_owned);
    ExitOutcome { code: state.exit_code(), error }
}

/// The failure of what needs a process where there is none.
pub(super) fn not_running(container: &Container) -> Error {
    Error::conflict(format!("container {} is not running", container.id))
}

/// Nothing that panics runs under these locks.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fixture;
    use crate::container::state::{Exit, Life};
    use jiff::Timestamp;

    fn with(container: &Container, state: State) -> Arc<Container> {
        Arc::new(Container { state, ..container.clone() })
    }

    #[tokio::test]
    async fn each_waiter_is_woken_by_what_it_waits_for() {
        let container = fixture::container();
        let entry = Entry::new(container.clone());
        assert_eq!(entry.wait(WaitCondition::NotRunning).await.unwrap().code, 0);

        let life = Life { pid: 1, started_at: Timestamp::now() };
        entry.publish(with(&container, State::Running(life)));
        let mut stopped = entry.wait(WaitCondition::NotRunning);
        let mut next = entry.wait(WaitCondition::NextExit);
        let mut removed = entry.wait(WaitCondition::Removed);
        assert!(stopped.try_recv().is_err());

        let exit = Exit {
            code: 7,
            started_at: Timestamp::now(),
            finished_at: Timestamp::now(),
            oom_killed: false,
            error: String::new(),
        };
        entry.publish_exit(with(&container, State::Exited(exit)));
        assert_eq!(stopped.try_recv().unwrap().code, 7);
        assert_eq!(next.try_recv().unwrap().code, 7);
        assert!(removed.try_recv().is_err());
        entry.wake_all();
        assert_eq!(removed.try_recv().unwrap().code, 7);
    }
}
