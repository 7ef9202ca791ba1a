//! A container's parts as docker's clients see them, in lists and in `inspect`.

pub(super) mod config;
pub(super) mod host_config;
pub(super) mod mounts;
pub(super) mod networks;
pub(super) mod ports;
pub(super) mod state;
