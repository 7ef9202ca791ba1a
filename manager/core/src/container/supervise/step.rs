//! What it means for a container as we know it that its shim tells how it is now. The shim tells
//! the newest only: what lies between may have been left out. And since it tells it in two ways, in a
//! stream and as an answer, what it told may have been told already, or be older.

use jiff::Timestamp;

use crate::container::state::State;
use crate::shim::{Ended, Phase};

/// What has happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Stay,
    /// A run has begun.
    Began { pid: u32, started_at: Timestamp, before: Before },
    /// A run has ended, and another will begin.
    Waits { ended: Ended, before: Before },
    /// Another start has failed; it is still waited for one that succeeds.
    FailedAgain(Ended),
    /// It has ended for good.
    Rests { ended: Ended, before: Before },
}

/// What came before, and hasn't been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Known,
    /// A run that we know of has ended.
    MissedEnd,
    /// A run that we don't know of has begun.
    MissedStart,
}

impl Step {
    /// From `state` to `phase`.
    pub(super) fn of(state: &State, phase: Phase) -> Self {
        match (state, phase) {
            (State::Running(life) | State::Paused(life), Phase::Running { pid, started_at }) => {
                if life.pid == pid && life.started_at == started_at {
                    Self::Stay
                } else {
                    Self::Began { pid, started_at, before: Before::MissedEnd }
                }
            }
            (State::Restarting(exit), Phase::Running { pid, started_at }) => {
                if exit.started_at == started_at {
                    Self::Stay
                } else {
                    Self::Began { pid, started_at, before: Before::Known }
                }
            }
            (
                State::Running(life) | State::Paused(life),
                Phase::Waiting(ended) | Phase::Ended(ended),
            ) if ended.exit.started_at < life.started_at => Self::Stay,
            (State::Running(_) | State::Paused(_), Phase::Waiting(ended)) => {
                Self::Waits { ended, before: Before::Known }
            }
            (State::Restarting(exit), Phase::Waiting(ended)) => {
                if *exit == ended.exit {
                    Self::Stay
                } else if exit.started_at == ended.exit.started_at || !ended.exit.error.is_empty() {
                    Self::FailedAgain(ended)
                } else {
                    Self::Waits { ended, before: Before::MissedStart }
                }
            }
            (State::Running(_) | State::Paused(_), Phase::Ended(ended)) => {
                Self::Rests { ended, before: Before::Known }
            }
            (State::Restarting(exit), Phase::Ended(ended)) => {
                let known = *exit == ended.exit || !ended.exit.error.is_empty();
                let before = if known { Before::Known } else { Before::MissedStart };
                Self::Rests { ended, before }
            }
            // It was let go before it was said to run.
            (State::Running(_) | State::Paused(_) | State::Restarting(_), Phase::Created) => {
                Self::Stay
            }
            // It has been taken from the shim, which is about to learn that.
            (
                State::Created { .. }
                | State::Exited(_)
                | State::Removing { .. }
                | State::Dead { .. },
                Phase::Created | Phase::Running { .. } | Phase::Waiting(_) | Phase::Ended(_),
            ) => Self::Stay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::state::{Exit, Life};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn running(second: i64) -> State {
        State::Running(Life { pid: 7, started_at: at(second), last_finished_at: None })
    }

    fn exit(second: i64, error: &str) -> Exit {
        Exit {
            code: 1,
            started_at: at(second),
            finished_at: at(second + 1),
            oom_killed: false,
            error: error.to_owned(),
        }
    }

    fn ended(second: i64, error: &str) -> Ended {
        Ended { exit: exit(second, error), dropped_lines: 0 }
    }

    #[test]
    fn a_run_is_known_by_its_process_and_its_start() {
        let phase = |pid| Phase::Running { pid, started_at: at(1) };
        assert_eq!(Step::of(&running(1), phase(7)), Step::Stay);
        let missed = Step::Began { pid: 8, started_at: at(1), before: Before::MissedEnd };
        assert_eq!(Step::of(&running(1), phase(8)), missed);
        let again = Step::Began { pid: 8, started_at: at(1), before: Before::Known };
        assert_eq!(Step::of(&State::Restarting(exit(0, "")), phase(8)), again);
    }

    #[test]
    fn what_is_older_changes_nothing() {
        assert_eq!(Step::of(&running(5), Phase::Waiting(ended(1, ""))), Step::Stay);
        let waits = State::Restarting(exit(5, ""));
        assert_eq!(Step::of(&waits, Phase::Running { pid: 7, started_at: at(5) }), Step::Stay);
    }

    #[test]
    fn a_failed_start_is_no_run() {
        let waits = State::Restarting(exit(1, ""));
        assert_eq!(Step::of(&waits, Phase::Waiting(ended(1, ""))), Step::Stay);
        let failed = ended(1, "no such file");
        assert_eq!(Step::of(&waits, Phase::Waiting(failed.clone())), Step::FailedAgain(failed));
        let missed = Step::Waits { ended: ended(5, ""), before: Before::MissedStart };
        assert_eq!(Step::of(&waits, Phase::Waiting(ended(5, ""))), missed);
    }

    #[test]
    fn what_has_come_to_rest_is_not_the_shims_any_more() {
        let rests = State::Exited(exit(1, ""));
        assert_eq!(Step::of(&rests, Phase::Ended(ended(1, ""))), Step::Stay);
        let rests = |before| Step::Rests { ended: ended(1, ""), before };
        let phase = Phase::Ended(ended(1, ""));
        assert_eq!(Step::of(&running(1), phase.clone()), rests(Before::Known));
        let called_off = State::Restarting(exit(1, ""));
        assert_eq!(Step::of(&called_off, phase.clone()), rests(Before::Known));
        let earlier = State::Restarting(exit(0, ""));
        assert_eq!(Step::of(&earlier, phase), rests(Before::MissedStart));
    }
}
