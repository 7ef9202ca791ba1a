//! Images and the kernel that mounts them.
#![allow(clippy::unwrap_used)]

mod hostile;
mod model;
mod mount;
mod mounted;
