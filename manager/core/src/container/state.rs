//! Where a container is in its life.
//!
//! ```text
//! Created ──start──> Running <──pause/unpause──> Paused
//!    │                 │    ^
//!    │  its process ends    │ it is started again by its restart policy
//!    │                 │    │
//!    │                 ├> Restarting ──stop──┐
//!    │                 v                     │
//!    │              Exited <─────────────────┘ ──start──> Running
//!    └──remove──> Removing <──remove──┘        (Dead: a removal that failed; remove again)
//! ```
//!
//! Docker counts one that waits to be started again as one that runs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A container's state, with what is only known in that state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It has never run.
    Created {
        /// Why the last attempt to start it failed.
        failure: Option<StartFailure>,
    },
    /// Its process runs.
    Running(Life),
    /// Its processes are frozen.
    Paused(Life),
    /// Its process has ended, and it waits to be started again.
    Restarting(Exit),
    /// Its process has ended.
    Exited(Exit),
    /// It is being taken away.
    Removing {
        /// How it had ended, if it ever ran.
        exit: Option<Exit>,
        /// Whether its anonymous volumes go too.
        volumes: bool,
    },
    /// Taking it away failed half-way; all that is left to do with it is to try again.
    Dead {
        /// How it had ended, if it ever ran.
        exit: Option<Exit>,
    },
}

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// In the host's pid namespace.
    pub pid: u32,
    /// When the shim let it go.
    pub started_at: Timestamp,
    /// When the run before this one ended, if there was one.
    #[serde(default)]
    pub last_finished_at: Option<Timestamp>,
}

/// Why a container could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// What a shell would return: 127 no such program, 126 may not be executed, 128 anything else.
    pub code: i64,
    /// What went wrong.
    pub error: String,
}

/// How a container's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; 128 + n for a process that signal n ended.
    pub code: i64,
    /// When it had started.
    pub started_at: Timestamp,
    /// When the shim reaped it.
    pub finished_at: Timestamp,
    /// Whether the kernel killed it because memory ran out.
    pub oom_killed: bool,
    /// What went wrong outside of the process, or with the last attempt to start it again.
    pub error: String,
}

impl State {
    /// Docker's word for it.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Running(_) => "running",
            Self::Paused(_) => "paused",
            Self::Restarting(_) => "restarting",
            Self::Exited(_) => "exited",
            Self::Removing { .. } => "removing",
            Self::Dead { .. } => "dead",
        }
    }

    /// The process, while there is one.
    pub fn life(&self) -> Option<&Life> {
        match self {
            Self::Running(life) | Self::Paused(life) => Some(life),
            Self::Created { .. }
            | Self::Restarting(_)
            | Self::Exited(_)
            | Self::Removing { .. }
            | Self::Dead { .. } => None,
        }
    }

    /// How it last ended, unless it runs or never ran.
    pub fn exit(&self) -> Option<&Exit> {
        match self {
            Self::Restarting(exit) | Self::Exited(exit) => Some(exit),
            Self::Removing { exit, .. } | Self::Dead { exit } => exit.as_ref(),
            Self::Created { .. } | Self::Running(_) | Self::Paused(_) => None,
        }
    }

    /// Whether there is a process, frozen or not, or is about to be one again.
    pub fn is_running(&self) -> bool {
        match self {
            Self::Running(_) | Self::Paused(_) | Self::Restarting(_) => true,
            Self::Created { .. } | Self::Exited(_) | Self::Removing { .. } | Self::Dead { .. } => {
                false
            }
        }
    }

    /// When its last run ended, if one has.
    pub fn last_finished_at(&self) -> Option<Timestamp> {
        match self.life() {
            Some(life) => life.last_finished_at,
            None => self.exit().map(|exit| exit.finished_at),
        }
    }

    /// The code that `inspect` and `wait` give: of the last end, or of a failed start, else 0.
    pub fn exit_code(&self) -> i64 {
        match self {
            Self::Created { failure } => failure.as_ref().map_or(0, |failure| failure.code),
            _ => self.exit().map_or(0, |exit| exit.code),
        }
    }

    /// What went wrong with it last; empty: nothing.
    pub fn error(&self) -> &str {
        match self {
            Self::Created { failure } => failure.as_ref().map_or("", |failure| &failure.error),
            _ => self.exit().map_or("", |exit| &exit.error),
        }
    }
}
