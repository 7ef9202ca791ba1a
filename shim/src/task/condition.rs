//! How a container is: kept, put on record, told to watchers; and what a new policy makes of it.

use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::container::Task;
use super::health::HealthMonitor;
use super::restart::{RestartPolicy, Restarts};
use super::situation::{Phase, Situation};
use crate::diagnostics::warn;
use crate::error::{Error, Result};

impl Task {
    /// From now on this is the policy. A restart that is waited for, and that the policy doesn't
    /// call for, won't take place. Returns how the container is with that.
    pub(crate) fn set_restart_policy(&self, policy: RestartPolicy) -> Result<Situation> {
        self.lock_restarts().set_policy(policy);
        self.call_off_unwanted();
        self.situation
            .borrow()
            .clone()
            .ok_or_else(|| Error::not_found(format!("container {} has been deleted", self.id)))
    }

    fn call_off_unwanted(&self) {
        let ending = match self.situation.borrow().as_ref().map(|situation| &situation.phase) {
            Some(Phase::Waiting { ending, .. }) => ending.clone(),
            _ => return,
        };
        if !self.lock_restarts().still_wanted(ending.outcome()) {
            self.enter(Phase::Ended { ending });
        }
    }

    /// The container as it is, and each change of that; `None` when it has been deleted.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Situation>> {
        self.situation.subscribe()
    }

    /// Whether it has ended, and is to be started again.
    pub(crate) fn is_waiting(&self) -> bool {
        self.situation.borrow().as_ref().is_some_and(Situation::is_waiting)
    }

    /// Puts on record where it is in its life now, and tells watchers.
    pub(super) fn enter(&self, phase: Phase) {
        self.situation.send_replace(self.recorded(phase));
    }

    /// Puts on record where it is in its life now.
    pub(super) fn recorded(&self, phase: Phase) -> Option<Situation> {
        let restarts = self.lock_restarts().count();
        let health = self.health.as_ref().and_then(HealthMonitor::health);
        let next = self.situation.borrow().as_ref()?.next(phase, restarts, health);
        self.write_record(&next);
        Some(next)
    }

    fn write_record(&self, situation: &Situation) {
        if let Err(error) = self.record.write(situation) {
            warn(format_args!("{error}; what became of {} isn't on record", self.id));
        }
    }

    /// Nobody finds out how it is any longer.
    pub(super) fn stop_health(&self) {
        self.health.iter().for_each(HealthMonitor::stop);
    }

    /// Tells watchers what has been found about its health; what it comes to is put on record.
    pub(super) fn tell_health(&self) {
        let Some(health) = self.health.as_ref().and_then(HealthMonitor::health) else { return };
        self.situation.send_modify(|situation| {
            let Some(situation) = situation else { return };
            let before = situation.health.replace(Arc::clone(&health));
            if before.is_none_or(|before| before.status != health.status) {
                self.write_record(situation);
            }
        });
    }

    pub(super) fn lock_restarts(&self) -> MutexGuard<'_, Restarts> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
