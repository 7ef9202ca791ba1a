//! How a container is at one moment, over all of its runs.

use std::sync::Arc;
use std::time::SystemTime;

use super::health::Health;
use super::restart::Outcome;
use crate::reaper::Exit;

/// The status of a run that could not be started.
pub(super) const NOT_STARTED: u32 = 128;

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Situation {
    /// Where it is in its life.
    pub(crate) phase: Phase,
    /// How often it was started again, with a restart that is waited for.
    pub(crate) restarts: u32,
    /// How the run before the phase's ended, if there was one.
    pub(crate) last: Option<Ending>,
    /// What is known about its health: nothing before the first start, or without a check.
    pub(crate) health: Option<Arc<Health>>,
}

impl Situation {
    /// That of a container that was just made, and was started so often by others.
    pub(super) fn created(pid: u32, restarts: u32) -> Self {
        Situation { phase: Phase::Created { pid }, restarts, last: None, health: None }
    }

    /// Whether it has ended, and is to be started again.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. })
    }

    /// The same container in its next phase.
    pub(super) fn next(&self, phase: Phase, restarts: u32, health: Option<Arc<Health>>) -> Self {
        let last = match (self.phase.ending(), phase.ending()) {
            (Some(old), new) if new != Some(old) => Some(old.clone()),
            _ => self.last.clone(),
        };
        Situation { phase, restarts, last, health }
    }
}

/// Where a container is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Made, and waiting to be let go for the first time.
    Created {
        /// Its init.
        pid: u32,
    },
    /// It runs; or it is being let go, and can't be held back any more.
    Running {
        /// Its init.
        pid: u32,
        /// Since when.
        started_at: SystemTime,
    },
    /// It has ended, and will be started again.
    Waiting {
        /// How it ended.
        ending: Ending,
        /// When it will be.
        restart_at: SystemTime,
    },
    /// It has ended for good.
    Ended {
        /// How.
        ending: Ending,
    },
}

impl Phase {
    /// How the run ended, if it has.
    pub(crate) fn ending(&self) -> Option<&Ending> {
        match self {
            Phase::Created { .. } | Phase::Running { .. } => None,
            Phase::Waiting { ending, .. } | Phase::Ended { ending } => Some(ending),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    /// The status, and the time.
    pub(crate) exit: Exit,
    /// When it began, or was tried to; `None` for a container that was never let go.
    pub(crate) started_at: Option<SystemTime>,
    /// Whether the out-of-memory killer struck.
    pub(crate) oom_killed: bool,
    /// Lines of its log that were dropped.
    pub(crate) dropped_lines: u64,
    /// Why it could not be started again, if so.
    pub(crate) error: Option<String>,
}

impl Ending {
    /// As restarts see it.
    pub(super) fn outcome(&self) -> Outcome {
        if self.exit.status == 0 && self.error.is_none() {
            Outcome::Success
        } else {
            Outcome::Failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn ending(status: u32) -> Ending {
        Ending {
            exit: Exit { status, at: UNIX_EPOCH },
            started_at: Some(UNIX_EPOCH),
            oom_killed: false,
            dropped_lines: 0,
            error: None,
        }
    }

    #[test]
    fn the_end_of_the_run_before_is_kept() {
        let waiting = |status| Phase::Waiting { ending: ending(status), restart_at: UNIX_EPOCH };
        let running = Phase::Running { pid: 7, started_at: UNIX_EPOCH };
        let last = |situation: &Situation| situation.last.as_ref().map(|end| end.exit.status);
        let mut situation = Situation::created(7, 0).next(running.clone(), 0, None);
        assert_eq!(last(&situation), None);
        situation = situation.next(waiting(1), 1, None);
        assert_eq!(last(&situation), None);
        situation = situation.next(running.clone(), 1, None).next(running, 1, None);
        assert_eq!(last(&situation), Some(1));
        situation = situation.next(waiting(2), 2, None);
        assert_eq!(last(&situation), Some(1));
        situation = situation.next(waiting(3), 3, None);
        assert_eq!(last(&situation), Some(2));
        situation = situation.next(Phase::Ended { ending: ending(3) }, 3, None);
        assert_eq!(last(&situation), Some(2));
    }
}
