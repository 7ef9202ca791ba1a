//! End-to-end tests of the three programs, driven as a user drives them: by the docker command
//! line, by HTTP on the daemon's socket, and by looking at the machine afterwards.
//!
//! A test says what happens on one [`Host`]; [`on_host`] makes that host, and when the test is over
//! checks that the machine is as it was before. Nothing here knows the programs' code: the tests
//! can be run against another daemon that speaks the same API, to see that what they expect is
//! what docker does (see [`peer`]).
//!
//! It is a crate of tests, and a test stops at the first thing that is wrong: so it may panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod archive;
pub mod buildx;
pub mod command;
pub mod containerd;
pub mod daemon;
pub mod dns;
pub mod footprint;
pub mod host;
pub mod hostile;
pub mod http;
pub mod images;
pub mod in_place;
pub mod namespaces;
pub mod peer;
pub mod plugin;
pub mod programs;
pub mod registry;
pub mod terminal;
pub mod turns;
pub mod wait;

pub use buildx::on_building_host;
pub use command::{Ran, Running};
pub use containerd::{Containerd, on_containerd};
pub use host::{
    FIRST_GID, FIRST_UID, Host, on_host, on_host_with, on_host_with_plugins, on_remapped_host,
};
pub use images::{BUSYBOX, NGINX};
pub use wait::{until, until_true};
