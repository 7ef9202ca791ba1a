//! What a process inside a container is given and denied before its program starts.

pub(crate) mod capabilities;
pub(crate) mod env;
pub(crate) mod lsm;
pub(crate) mod memory;
pub(crate) mod null;
pub(crate) mod rlimits;
pub(crate) mod schedule;
pub(crate) mod seccomp;
pub(crate) mod terminal;
pub(crate) mod user;
