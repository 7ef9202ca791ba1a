//! What the shim writes to disk about its container, for whoever asks after it has gone.
//!
//! The file is `task.json` in the shim's state directory. It is replaced whole (a temporary file,
//! renamed over it), and made durable before an exit is reported to anyone.

use serde::{Deserialize, Serialize};

/// The name of the file in the state directory.
pub const FILE_NAME: &str = "task.json";

/// One container's life as its shim has seen it so far. Times are RFC 3339 with nanoseconds, UTC.
///
/// A container that the shim starts again has several runs: `pid`, `started_at` and `exit` are those
/// of the latest. A next one begins to be the latest just before it is let go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The container's id.
    pub id: String,
    /// The init process in the host's pid namespace.
    pub pid: u32,
    /// Whether the process was let go, and when.
    pub started_at: Option<String>,
    /// How it ended, once it has.
    pub exit: Option<ExitRecord>,
    /// How the run before that one ended, if this shim had any before.
    #[serde(default)]
    pub last_exit: Option<ExitRecord>,
    /// When the shim will start it again, or would have, if it had not died; unset if it won't.
    #[serde(default)]
    pub restart_at: Option<String>,
    /// How often it was started again, by whomever, with the restart that is waited for.
    #[serde(default)]
    pub restarts: u32,
    /// What was known about its health when this was written; that is whenever its status changes.
    #[serde(default)]
    pub health: Option<HealthRecord>,
}

/// How a container's init process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The exit code; 128 + n for a process that signal n ended.
    pub status: u32,
    /// When the shim reaped it.
    pub exited_at: String,
    /// Whether the kernel's out-of-memory killer struck in its cgroup.
    pub oom_killed: bool,
    /// Lines of its log that were dropped, as was asked for, because the log's driver was slow.
    #[serde(default)]
    pub dropped_lines: u64,
    /// Why the container could not be started again; `status` is 128 then. Empty: it was.
    #[serde(default)]
    pub error: String,
}

/// What the shim's probes found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRecord {
    /// How it is.
    pub status: HealthStatus,
    /// How many probes in a row have failed.
    pub failing_streak: u32,
    /// The last five probes, oldest first.
    pub probes: Vec<ProbeRecord>,
}

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe has succeeded yet, nor have enough failed.
    Starting,
    /// Well.
    Healthy,
    /// Not well, or nobody watches: it has ended, or is paused.
    Unhealthy,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// When it began.
    pub started_at: String,
    /// When it was over.
    pub ended_at: String,
    /// -1: it could not be run, or took too long.
    pub exit_code: i32,
    /// The first 4096 bytes of what it wrote; `...` follows if there was more.
    pub output: String,
}
