//! Talking to `criu`, the program that writes the processes of a container to files and makes them
//! anew from there.
//!
//! It is started for one job (`criu swrk`) and asked by its remote procedure calls, the [`rpc`]
//! messages, over a socket. A [`Session`](session::Session) is that conversation; what criu asks or
//! tells in the middle of its work is an [`Event`](session::Event). Its files are in a directory
//! that may come from a stranger: see [`images`].

pub(crate) mod images;
mod log;
pub(crate) mod rpc;
pub(crate) mod session;
pub(crate) mod settings;
