//! ttrpc: protobuf messages behind a header of ten bytes, on a plain stream. A connection takes a few
//! hundred bytes of memory at each end, where one of HTTP/2 takes tens of thousands.
//!
//! Follows `PROTOCOL.md` of containerd's ttrpc, with calls whose answer is one message or many.

mod client;
mod frame;

pub use client::{Client, Replies};
pub use frame::{Frame, Frames, Header, Kind, Request, Response, RpcStatus};
