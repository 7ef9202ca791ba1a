//! Builds: Dockerfiles become images.
//!
//! ```text
//! control   BuildKit's API, as buildx speaks it   ─┐
//! classic   the API of `POST /build`              ─┴> solve ──> step ──> core (snapshots, runs)
//!                                                       │  └──> cache
//! session   what the client has: files, secrets, keys <─┤
//! fetch     what others have: addresses, repositories <─┤
//!                                                       └──> export (images, archives, directories)
//! ```
//!
//! `tare-dockerfile` says what a Dockerfile means; [`solve`] does it, step by step, each told to a
//! [`progress::Journal`], with what is known from earlier builds taken from [`cache`].

pub mod attrs;
mod builder;
pub mod cache;
pub mod classic;
pub mod control;
pub mod error;
pub mod export;
pub mod fetch;
pub mod filter;
pub mod progress;
pub mod session;
pub mod settings;
pub mod solve;
pub mod step;
pub mod tree;

pub use builder::Builder;
pub use control::Control;
pub use error::{Error, Result};
pub use settings::Settings;
