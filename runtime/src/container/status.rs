//! What a container is doing, and what may be asked of it meanwhile.

use crate::error::{Error, Result};
use std::fmt;

/// A container's state, as the runtime specification names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Its environment is being made.
    Creating,
    /// All is there but the program, which waits for `start`.
    Created,
    /// The program runs.
    Running,
    /// The program is frozen.
    Paused,
    /// The program has ended.
    Stopped,
}

/// What a command does to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Let the created program run.
    Start,
    /// Run another program in it.
    Exec {
        /// Even while it is frozen.
        ignore_paused: bool,
    },
    /// Freeze it.
    Pause,
    /// Thaw it.
    Resume,
    /// Change its limits.
    Update,
    /// Remove it, without killing its first process, be that the program or what waits to be it.
    Delete,
    /// Write its processes to files.
    Checkpoint,
}

impl Status {
    /// Refuses `action` where this status does not allow it.
    pub(crate) fn allows(self, action: Action) -> Result<()> {
        use Action::*;
        use Status::*;
        let refusal = match (action, self) {
            (Start, Created) => return Ok(()),
            (Start, Stopped) => "cannot start a container that has stopped".to_owned(),
            (Start, Running) => "cannot start an already running container".to_owned(),
            (Start, Creating | Paused) => format!("cannot start a container in the {self} state"),
            (Exec { .. }, Created | Running) | (Exec { ignore_paused: true }, Paused) => {
                return Ok(());
            }
            (Exec { ignore_paused: false }, Paused) => {
                "cannot exec in a paused container (use --ignore-paused to override)".to_owned()
            }
            (Exec { .. }, Creating | Stopped) => format!("cannot exec in a {self} container"),
            (Pause, Created | Running) => return Ok(()),
            (Resume, Paused) => return Ok(()),
            (Resume, Creating | Created | Running | Stopped) => "container not paused".to_owned(),
            (Update, Creating | Created | Running | Paused) => return Ok(()),
            (Update, Stopped) | (Pause, Creating | Paused | Stopped) => {
                "container not running".to_owned()
            }
            (Checkpoint, Running | Paused) => return Ok(()),
            (Checkpoint, Creating | Created | Stopped) => {
                format!("Container cannot be checkpointed in {self} state")
            }
            (Delete, Stopped) => return Ok(()),
            (Delete, Creating | Created | Running | Paused) => format!("is not stopped: {self}"),
        };
        Err(Error::state(refusal))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_created_container_starts() {
        assert!(Status::Created.allows(Action::Start).is_ok());
        for other in [Status::Creating, Status::Running, Status::Paused, Status::Stopped] {
            assert!(other.allows(Action::Start).is_err(), "{other}");
        }
    }

    #[test]
    fn refusals_read_as_callers_expect() {
        let text = |status: Status, action| status.allows(action).unwrap_err().to_string();
        assert_eq!(text(Status::Stopped, Action::Pause), "container not running");
        assert_eq!(text(Status::Running, Action::Resume), "container not paused");
        assert_eq!(
            text(Status::Stopped, Action::Exec { ignore_paused: false }),
            "cannot exec in a stopped container"
        );
        assert_eq!(
            text(Status::Running, Action::Start),
            "cannot start an already running container"
        );
    }
}
