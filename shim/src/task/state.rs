//! The states of a process, and what may be done in which.

use crate::error::{Error, Result};
use crate::reaper::Exit;

/// Where a process is in its life. A container is where its init is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Described, but not there yet (an exec before its start).
    Added,
    /// There, and waiting to be let go (a container's init before its start).
    Created {
        /// Its pid on the host.
        pid: u32,
    },
    /// Running.
    Running {
        /// Its pid on the host.
        pid: u32,
    },
    /// Frozen, with its whole container.
    Paused {
        /// Its pid on the host.
        pid: u32,
    },
    /// Ended.
    Stopped {
        /// What its pid was; 0 if it never came to be.
        pid: u32,
        /// How it ended.
        exit: Exit,
    },
}

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Let the init go, or run the exec.
    Start,
    /// Freeze the container.
    Pause,
    /// Let it go on.
    Resume,
    /// Change its limits.
    Update,
    /// Write its processes to files.
    Checkpoint,
    /// Describe another process for it.
    Exec,
    /// Send a signal.
    Kill,
    /// Forget the process.
    Delete,
}

impl State {
    /// Whether `action` is legal now; the error says why not.
    pub(crate) fn allow(&self, action: Action) -> Result<()> {
        match (self, action) {
            (State::Added | State::Created { .. }, Action::Start)
            | (State::Running { .. }, Action::Pause)
            | (State::Paused { .. }, Action::Resume)
            | (
                State::Created { .. } | State::Running { .. } | State::Paused { .. },
                Action::Update | Action::Kill,
            )
            | (State::Running { .. } | State::Paused { .. }, Action::Checkpoint)
            | (State::Created { .. } | State::Running { .. }, Action::Exec)
            | (State::Added | State::Created { .. } | State::Stopped { .. }, Action::Delete) => {
                Ok(())
            }
            (State::Stopped { .. }, Action::Kill) => {
                Err(Error::not_found("process already finished"))
            }
            (State::Added, Action::Kill) => Err(Error::precondition("process not created")),
            (
                State::Running { .. } | State::Paused { .. } | State::Stopped { .. },
                Action::Start,
            )
            | (
                State::Added | State::Created { .. } | State::Paused { .. } | State::Stopped { .. },
                Action::Pause,
            )
            | (
                State::Added
                | State::Created { .. }
                | State::Running { .. }
                | State::Stopped { .. },
                Action::Resume,
            )
            | (State::Added | State::Stopped { .. }, Action::Update)
            | (State::Added | State::Created { .. } | State::Stopped { .. }, Action::Checkpoint)
            | (State::Added | State::Paused { .. } | State::Stopped { .. }, Action::Exec)
            | (State::Running { .. } | State::Paused { .. }, Action::Delete) => {
                let (verb, name) = (action.verb(), self.name());
                Err(Error::precondition(format!("cannot {verb} a {name} process")))
            }
        }
    }

    /// The pid on the host; 0 where there is none.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            State::Added => 0,
            State::Created { pid }
            | State::Running { pid }
            | State::Paused { pid }
            | State::Stopped { pid, .. } => *pid,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            State::Added => "not yet started",
            State::Created { .. } => "created",
            State::Running { .. } => "running",
            State::Paused { .. } => "paused",
            State::Stopped { .. } => "stopped",
        }
    }
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Action::Start => "start",
            Action::Pause => "pause",
            Action::Resume => "resume",
            Action::Update => "update",
            Action::Checkpoint => "checkpoint",
            Action::Exec => "exec in",
            Action::Kill => "kill",
            Action::Delete => "delete",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::time::UNIX_EPOCH;

    const ACTIONS: [Action; 8] = [
        Action::Start,
        Action::Pause,
        Action::Resume,
        Action::Update,
        Action::Checkpoint,
        Action::Exec,
        Action::Kill,
        Action::Delete,
    ];

    fn legal(state: State) -> Vec<Action> {
        ACTIONS.into_iter().filter(|action| state.allow(*action).is_ok()).collect()
    }

    #[test]
    fn each_state_has_its_actions() {
        use Action::*;
        let stopped = State::Stopped { pid: 7, exit: Exit { status: 0, at: UNIX_EPOCH } };
        assert_eq!(legal(State::Added), [Start, Delete]);
        assert_eq!(legal(State::Created { pid: 7 }), [Start, Update, Exec, Kill, Delete]);
        assert_eq!(legal(State::Running { pid: 7 }), [Pause, Update, Checkpoint, Exec, Kill]);
        assert_eq!(legal(State::Paused { pid: 7 }), [Resume, Update, Checkpoint, Kill]);
        assert_eq!(legal(stopped), [Delete]);
        let refused = stopped.allow(Action::Kill).unwrap_err();
        assert_eq!(refused.kind(), Kind::NotFound);
        assert_eq!(refused.to_string(), "process already finished");
        let refused = State::Running { pid: 7 }.allow(Action::Delete).unwrap_err();
        assert_eq!(refused.to_string(), "cannot delete a running process");
    }
}
