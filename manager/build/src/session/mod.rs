//! What a build's client has, and the build may ask for: files, credentials, secrets, keys, places for
//! results.
//!
//! The client opens a connection and serves calls on it. Everything that comes over it is hostile
//! input: its size is bounded wherever it is held, and paths mean nothing but what is below a root.

pub mod auth;
mod connection;
pub mod content;
pub mod contexts;
mod failure;
pub mod files;
mod health;
mod metadata;
pub mod secrets;
pub mod send;
mod sessions;
pub mod ssh;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod upload;

pub use contexts::ContextStore;
pub use sessions::{Admitted, Introduction, Session, Sessions};
