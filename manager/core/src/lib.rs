//! The domain of `tared`: images, snapshots, containers, networks and their records.
//!
//! Nothing here knows HTTP, gRPC servers or a command line; each API converts its own types at its
//! edge and calls in. See README.md, "How it is built", for the map and the invariants.

mod apart;
pub mod archived;
pub mod build;
pub mod config;
pub mod container;
mod disk;
pub mod engine;
pub mod error;
pub mod events;
mod given_up;
pub mod host;
pub mod ids;
pub mod image;
mod linux;
pub mod live;
pub mod memory;
pub mod network;
mod pieces;
pub mod plugin;
pub mod registry;
mod reload;
pub mod shim;
mod size;
pub mod snapshot;
pub mod store;
mod threads;
pub mod volume;

pub use engine::Engine;
pub use error::{Error, Kind, Result};
