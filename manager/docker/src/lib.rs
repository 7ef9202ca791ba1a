//! Docker's Engine API, versions 1.24 to 1.51, over the domain.
//!
//! [`routes`] has the table of all endpoints; each has a file of its own that reads the request,
//! makes one call into the domain, and writes the answer. Types that go over the wire live here and
//! never reach the domain; the domain's types never go over the wire as they are.

mod api;
mod body;
mod build;
mod container;
mod error;
mod exec;
mod filter;
mod image;
mod metrics;
mod network;
mod plugin;
mod prune;
mod query;
mod registry;
mod registry_auth;
mod routes;
mod server;
mod stream;
mod swarm;
mod system;
mod time;
mod unsupported;
mod version;
mod volume;
mod wire;

pub use api::Served;
pub use server::{Listener, serve, serve_metrics};
/// How connections over the network are encrypted.
pub use tokio_rustls::TlsAcceptor as Encryption;
