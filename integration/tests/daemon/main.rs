//! The daemon itself: where it serves and whom, how it is told what to do, and what a client may do
//! to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod activation;
mod hostile;
mod metrics;
mod network;
mod protocol;
mod reload;
mod settings;
mod websocket;
