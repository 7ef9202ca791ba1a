//! What a build tells while it goes on: its steps, their output, how far transfers are, warnings.
//!
//! Everything is kept in the build's [`Journal`] until that is dropped, so that whoever follows it
//! late gets all of it from the beginning. Who builds never waits for who follows.

mod event;
mod journal;
mod vertex;

pub use event::{Event, LogLine, Planned, Stream, Transfer, VertexId, VertexState, Warning};
pub use journal::{Follower, Journal};
pub use vertex::{TransferHandle, Vertex};
