//! The shims, seen from here: one program beside each running container. They are called by ttrpc, with
//! a connection for each call; streams of clients go by gRPC, which knows when a reader is slow.
//!
//! A shim outlives this manager. What it must know again after a restart stands in the container's
//! bundle: the answer that the shim gave when it was launched.

mod address;
mod launch;
mod process;
mod streams;
mod supervision;
mod task;

pub(crate) use address::Address;
pub(crate) use launch::{Launch, clean_up, launch};
pub(crate) use streams::{Listening, Wanted};
pub(crate) use supervision::{Condition, Conditions, Ended, Phase, restart_policy};
pub(crate) use task::{CreateTask, ExecTask, Shim};

/// The process that a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// The container's own.
    Init,
    /// That of an exec instance.
    Exec(&'a str),
}

impl Target<'_> {
    /// How the Task API says it.
    fn exec_id(self) -> String {
        match self {
            Self::Init => String::new(),
            Self::Exec(id) => id.to_owned(),
        }
    }
}
