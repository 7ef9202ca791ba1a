//! One container as this manager holds it: the published snapshot, and what only exists in memory.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{oneshot, watch};

use super::attachment::Peer;
use super::linger::Clients;
use super::options::{ExitOutcome, WaitCondition};
use super::record::Container;
use super::rootfs::Rootfs;
use super::state::State;
use super::supervise::backoff::Backoff;
use crate::error::{Error, Kind, Result};
use crate::shim::{Shim, Wanted};

/// A container in memory.
pub(super) struct Entry {
    published: watch::Sender<Arc<Container>>,
    /// Held by whoever changes the container; never by readers, never while waiting for a process.
    pub(super) doing: tokio::sync::Mutex<()>,
    shim: Mutex<Option<Shim>>,
    /// Set while it is stopped only to be started again: then its end doesn't remove it, nor does its
    /// policy start it.
    pub(super) coming_back: AtomicBool,
    /// How long it waits for starts that aren't its shim's.
    pub(super) backoff: Mutex<Backoff>,
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
            published: watch::Sender::new(Arc::new(container)),
            doing: tokio::sync::Mutex::new(()),
            shim: Mutex::new(None),
            coming_back: AtomicBool::new(false),
            backoff: Mutex::default(),
            waiters: Mutex::new(Vec::new()),
            waiting: Mutex::new(Vec::new()),
            clients: Clients::default(),
            rootfs: Mutex::default(),
        }
    }

    /// The container as it is now.
    pub(super) fn container(&self) -> Arc<Container> {
        Arc::clone(&self.published.borrow())
    }

    /// The container when whoever changes it now is done: one that is being started runs then. Its
    /// first output is seen before that.
    pub(super) async fn container_in_turn(&self) -> Arc<Container> {
        let _doing = self.doing.lock().await;
        self.container()
    }

    /// Shows readers the container as it is from now on.
    pub(super) fn publish(&self, container: Arc<Container>) {
        self.published.send_replace(container);
    }

    /// Waits until what readers are shown is so.
    pub(super) async fn until(&self, so: impl FnMut(&Arc<Container>) -> bool) {
        // It ends with an error only if the container is no more; then nothing will be so.
        let _ = self.published.subscribe().wait_for(so).await;
    }

    /// The shim of a container that has a process.
    ///
    /// # Errors
    /// Conflict if it has none, unavailable if its shim hasn't answered since this manager came.
    pub(super) fn shim(&self) -> Result<Shim> {
        let container = self.container();
        match &container.state {
            State::Running(_) | State::Paused(_) => {}
            State::Restarting(_) => return Err(restarting(&container)),
            State::Created { .. }
            | State::Exited(_)
            | State::Removing { .. }
            | State::Dead { .. } => return Err(not_running(&container)),
        }
        if let Some(shim) = self.any_shim() {
            return Ok(shim);
        }
        let id = &container.id;
        Err(Error::new(
            Kind::Unavailable,
            format!("the shim of container {id} does not answer; try again later"),
        ))
    }

    /// The shim, if there is one; the container need not have a process.
    pub(super) fn any_shim(&self) -> Option<Shim> {
        lock(&self.shim).clone()
    }

    /// Whether `shim` is the container's.
    pub(super) fn has_shim(&self, shim: &Shim) -> bool {
        lock(&self.shim).as_ref().is_some_and(|own| own.is(shim))
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
        let is_met = match condition {
            WaitCondition::NotRunning | WaitCondition::AtRest => !container.state.is_running(),
            WaitCondition::NextExit | WaitCondition::Removed => false,
        };
        if is_met {
            let _ = wake.send(outcome(&container.state));
        } else {
            waiters.retain(|waiter| !waiter.wake.is_closed());
            waiters.push(Waiter { condition, wake });
        }
        woken
    }

    /// Publishes `container`, a run of which has just ended, and wakes those who waited for that.
    pub(super) fn publish_exit(&self, container: Arc<Container>) {
        let outcome = outcome(&container.state);
        let rests = !container.state.is_running();
        self.publish_and_wake(container, &outcome, |condition| match condition {
            WaitCondition::NotRunning | WaitCondition::NextExit => true,
            WaitCondition::AtRest => rests,
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

/// The failure of what needs a process where there is none yet again.
pub(super) fn restarting(container: &Container) -> Error {
    let id = &container.id;
    Error::conflict(format!("Container {id} is restarting, wait until the container is running"))
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

        let life = Life { pid: 1, started_at: Timestamp::now(), last_finished_at: None };
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
        let mut rests = entry.wait(WaitCondition::AtRest);
        entry.publish_exit(with(&container, State::Restarting(exit.clone())));
        assert_eq!(stopped.try_recv().unwrap().code, 7);
        assert!(rests.try_recv().is_err());
        entry.publish_exit(with(&container, State::Exited(exit)));
        assert_eq!(rests.try_recv().unwrap().code, 7);
        assert_eq!(next.try_recv().unwrap().code, 7);
        assert!(removed.try_recv().is_err());
        entry.wake_all();
        assert_eq!(removed.try_recv().unwrap().code, 7);
    }
}
