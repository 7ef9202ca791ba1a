//! What goes over a connection beside plain answers: output in frames, raw streams in both
//! directions, and lines of JSON.

pub(crate) mod archive;
pub(crate) mod body_reader;
pub(crate) mod client;
pub(crate) mod detach;
pub(crate) mod frame;
pub(crate) mod hangup;
pub(crate) mod hijack;
pub(crate) mod json_lines;
pub(crate) mod session;
pub(crate) mod socket;
pub(crate) mod websocket;
