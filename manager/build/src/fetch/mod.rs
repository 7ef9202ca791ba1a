//! What others have: files at addresses, and repositories. Each is a directory of ours; what a server
//! says is the same as before is not fetched again.

mod address;
mod file;
mod git;
mod kept;
mod program;

use std::path::PathBuf;

use tare_core::Engine;

use crate::session::Session;
use crate::tree::Tree;

pub use address::shown;
pub use file::{Wanted, file};
pub use git::repository;

/// Something that was fetched.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// It, in a directory; the files of a repository are the directory.
    pub tree: Tree,
    /// What it is known by: the same if it is the same.
    pub digest: String,
}

/// What it takes to fetch something.
pub struct Way<'a> {
    /// The way to the web.
    pub engine: &'a Engine,
    /// Who has secrets and keys, if anybody.
    pub session: Option<&'a Session>,
    /// Where sockets of agents are made.
    pub agents: PathBuf,
}
