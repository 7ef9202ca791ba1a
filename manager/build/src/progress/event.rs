//! What can be told of a build.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tare_dockerfile::plan::Plan;

use crate::error::{Place, SourceFile};

/// Which step of a build: `sha256:...`, as `BuildKit`'s clients expect it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VertexId(Arc<str>);

impl VertexId {
    /// That of the step `name`, the `number`th of the build that `salt` stands for. Clients that
    /// follow several builds at once tell their steps apart by it.
    pub(super) fn new(salt: u64, number: usize, name: &str) -> Self {
        let digest = Sha256::digest(format!("{salt}\0{number}\0{name}"));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("sha256:{hex}").into())
    }

    /// That of the step that others call `name`.
    pub(super) fn of(name: &str) -> Self {
        Self(name.into())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VertexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// What will be done is known; once for each platform.
    Planned(Planned),
    /// A step is new, or has changed: all of it as it is now.
    Vertex(VertexState),
    /// How far something within a step is.
    Transfer(Transfer),
    /// Output of a step.
    Log(LogLine),
    /// A warning about the Dockerfile.
    Warning(Warning),
}

/// What will be done, and the file that says so.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The file.
    pub file: Arc<SourceFile>,
    /// What will be done.
    pub plan: Arc<Plan>,
}

/// A step.
#[derive(Debug, Clone)]
pub struct VertexState {
    /// Which.
    pub id: VertexId,
    /// What it does.
    pub name: String,
    /// The steps that it needs.
    pub inputs: Vec<VertexId>,
    /// It was not done, since its result was known.
    pub cached: bool,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// Why it failed; empty if it didn't.
    pub error: String,
}

/// Something within a step that takes time: `transferring context`, `exporting layers`.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Of which step.
    pub vertex: VertexId,
    /// What is done; with the step, it says which transfer this is.
    pub id: String,
    /// Bytes that are done.
    pub current: i64,
    /// Bytes in all, zero if that is not known.
    pub total: i64,
    /// When this was so.
    pub at: Timestamp,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub completed: Option<Timestamp>,
}

/// Where a step wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, `1` on the wire.
    Output,
    /// Standard error, `2` on the wire.
    Errors,
}

/// Output of a step; a piece of it, not a line.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// Of which step.
    pub vertex: VertexId,
    /// Where it wrote it to.
    pub stream: Stream,
    /// What.
    pub bytes: Bytes,
    /// When.
    pub at: Timestamp,
}

/// A warning about the Dockerfile.
#[derive(Debug, Clone)]
pub struct Warning {
    /// The step that found it: that which read the file.
    pub vertex: VertexId,
    /// What it says, in a line.
    pub short: String,
    /// Why that is no good idea.
    pub detail: String,
    /// Where there is more about it.
    pub url: String,
    /// What it is about.
    pub place: Option<Place>,
}
