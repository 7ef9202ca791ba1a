//! What callers ask of containers, and what they get back.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::config::ContainerConfig;
use super::host_config::{HostConfig, TerminalSize};
use super::id::ContainerId;
use super::signal::Signal;
use crate::image::Platform;

/// A container to make.
#[derive(Debug, Clone, Default)]
pub struct Create {
    /// Its name; `None`: one of our choice.
    pub name: Option<String>,
    /// What runs in it.
    pub config: ContainerConfig,
    /// How it sits on this host.
    pub host: HostConfig,
    /// Of a name of several images, the one for this platform; none: the one that suits best.
    pub platform: Option<Platform>,
}

/// A container that was made.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// What its user should know.
    pub warnings: Vec<String>,
}

/// How to stop.
#[derive(Debug, Clone, Copy, Default)]
pub struct StopOptions {
    /// The signal to ask with; `None`: the container's.
    pub signal: Option<Signal>,
    /// Seconds to wait before it is killed, -1: for ever; `None`: the container's.
    pub timeout: Option<i64>,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitCondition {
    /// That it doesn't run; it may be so already. One that is about to be started again counts as one
    /// that runs, but each end of a run counts too.
    NotRunning,
    /// That it doesn't run, nor will be started again; it may be so already.
    AtRest,
    /// The next end of a run.
    NextExit,
    /// That it is removed.
    Removed,
}

/// How a wait ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExitOutcome {
    /// The exit code.
    pub code: i64,
    /// What went wrong beside it.
    pub error: Option<String>,
}

/// How to remove.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Kill it if it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// Which streams to attach to.
#[derive(Debug, Clone, Copy, Default)]
pub struct AttachOptions {
    /// Send input.
    pub stdin: bool,
    /// Get what it writes to stdout, or to its terminal.
    pub stdout: bool,
    /// Get what it writes to stderr.
    pub stderr: bool,
    /// Get what it wrote before, from the log.
    pub logs: bool,
    /// Stay attached.
    pub stream: bool,
}

/// A piece of a process's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// From stdout, or from its terminal.
    Stdout(Bytes),
    /// From stderr.
    Stderr(Bytes),
    /// So many bytes are missing here: the client read too slowly.
    Missed(u64),
}

impl Output {
    /// How many bytes of the process's it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Output::Stdout(bytes) | Output::Stderr(bytes) => bytes.len(),
            Output::Missed(_) => 0,
        }
    }
}

/// Which of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Which part of the log to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOptions {
    /// Lines of stdout.
    pub stdout: bool,
    /// Lines of stderr.
    pub stderr: bool,
    /// Stay, until the container ends.
    pub follow: bool,
    /// Nothing before this.
    pub since: Option<Timestamp>,
    /// Nothing after this.
    pub until: Option<Timestamp>,
    /// Only so many of the last lines; `None`: all.
    pub tail: Option<u64>,
}

/// One entry of the log: a line with its line end, or a part of a long one without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it was written to.
    pub stream: OutputStream,
    /// When.
    pub time: Timestamp,
    /// What.
    pub bytes: Bytes,
    /// What the log options select of labels and environment.
    pub attributes: BTreeMap<String, String>,
}

/// The processes of a container, as `ps` shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// The head of each column.
    pub titles: Vec<String>,
    /// A row for each process.
    pub processes: Vec<Vec<String>>,
}

/// A process to run beside a container's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecConfig {
    /// `user[:group]`; empty: the container's.
    pub user: String,
    /// All capabilities.
    pub privileged: bool,
    /// On a terminal.
    pub tty: bool,
    /// Its terminal's size, unless its start says another.
    pub size: Option<TerminalSize>,
    /// The client will send input.
    pub attach_stdin: bool,
    /// The client wants stdout.
    pub attach_stdout: bool,
    /// The client wants stderr.
    pub attach_stderr: bool,
    /// The client's keys to detach, kept for `inspect`.
    pub detach_keys: String,
    /// Environment beside the container's.
    pub env: Vec<String>,
    /// Working directory; empty: the container's.
    pub working_dir: String,
    /// The program and its arguments.
    pub cmd: Vec<String>,
}

/// How to start an exec instance.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecStart {
    /// Return at once, with nothing attached.
    pub detach: bool,
    /// Size of its terminal.
    pub size: Option<TerminalSize>,
}

/// What is known of an exec instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecState {
    /// Its id.
    pub id: String,
    /// The container that it runs in.
    pub container: ContainerId,
    /// What was asked for.
    pub config: ExecConfig,
    /// Its pid on the host; `None` before it is started.
    pub pid: Option<u32>,
    /// Whether it runs.
    pub running: bool,
    /// How it ended.
    pub exit_code: Option<i64>,
}
