//! How a container is at one moment, over all of its runs.

use std::time::SystemTime;

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
