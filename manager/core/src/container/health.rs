//! Whether a container is well: what its health check found out.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the last probes came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How it is.
    pub status: HealthStatus,
    /// How many probes in a row have failed.
    pub failing_streak: u32,
    /// The last few probes, oldest first.
    pub probes: Vec<Probe>,
}

/// How a container is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthStatus {
    /// No probe has succeeded yet, nor have enough failed.
    #[default]
    Starting,
    /// It is well.
    Healthy,
    /// It isn't, or doesn't run.
    Unhealthy,
}

/// One run of the health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When it was started.
    pub started_at: Timestamp,
    /// When it had ended.
    pub ended_at: Timestamp,
    /// How it ended; -1: it could not be run, or took too long.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

impl Health {
    /// The same when the container has ended: it isn't well then, as docker has it.
    #[must_use]
    pub(super) fn of_ended(self) -> Self {
        Self { status: HealthStatus::Unhealthy, ..self }
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}
