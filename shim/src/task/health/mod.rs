//! Whether a container is well, as a command finds that is run in it again and again.
//!
//! The rules are docker's. Each run is watched from its start to its end, but not while it is
//! paused; when nobody watches, it isn't well. Probes are the shim's own: they aren't among the
//! execs of the Task API and cause none of its events, since nobody there could have asked for them
//! and nobody could ask about them.

mod capture;
mod check;
mod ending;
mod probe;
mod status;
mod words;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::task::AbortHandle;

use super::container::Task;
use super::run::Run;
pub(super) use check::HealthCheck;
pub(crate) use status::{Health, HealthStatus, Probe};

/// What watches over the health of one container.
pub(super) struct HealthMonitor {
    check: HealthCheck,
    /// `None` before the first start.
    health: Mutex<Option<Arc<Health>>>,
    watching: Mutex<Option<AbortHandle>>,
}

impl HealthMonitor {
    /// For a container that has not begun yet.
    pub(super) fn new(check: HealthCheck) -> Self {
        HealthMonitor { check, health: Mutex::default(), watching: Mutex::default() }
    }

    /// What has been found so far.
    pub(super) fn health(&self) -> Option<Arc<Health>> {
        lock(&self.health).clone()
    }

    /// Nobody watches any longer. A probe that is under way is killed, and doesn't count.
    pub(super) fn stop(&self) {
        let Some(watching) = lock(&self.watching).take() else { return };
        watching.abort();
        self.change(Health::stop);
    }

    fn change(&self, change: impl FnOnce(&mut Health)) {
        change(Arc::make_mut(lock(&self.health).get_or_insert_default()));
    }
}

impl Task {
    /// A run has begun: finds out how it is from now on.
    pub(super) fn begin_health(self: &Arc<Self>, run: &Arc<Run>) {
        if let Some(monitor) = &self.health {
            monitor.change(Health::start);
            self.resume_health(run);
        }
    }

    /// The run that was paused goes on.
    pub(super) fn resume_health(self: &Arc<Self>, run: &Arc<Run>) {
        let Some(monitor) = &self.health else { return };
        let watching = tokio::spawn(Arc::clone(self).watch_health(Arc::clone(run)));
        if let Some(before) = lock(&monitor.watching).replace(watching.abort_handle()) {
            before.abort();
        }
    }

    async fn watch_health(self: Arc<Self>, run: Arc<Run>) {
        let Some(monitor) = &self.health else { return };
        let check = &monitor.check;
        loop {
            let health = monitor.health().unwrap_or_default();
            tokio::time::sleep(health.interval(&check.timing, run.age())).await;
            let (started_at, age) = (SystemTime::now(), run.age());
            let outcome = probe::run(&self.blueprint, check).await;
            // What the container's end took with it says nothing of its health.
            if ending::is_ending(run.init.state().pid()) {
                return;
            }
            let ended_at = SystemTime::now();
            let probe = outcome.into_probe(started_at, ended_at);
            monitor.change(|health| health.judge(&check.timing, probe, age));
            self.tell_health();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
