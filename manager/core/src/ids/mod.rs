//! Other ids on the host than in containers: which (`userns-remap`), the user namespaces that say so
//! to the kernel, and work in the name of a container's users.
//!
//! What is on disk, images and what containers write, always has the ids that the containers see. It
//! is the mounts of a container that map them ([`probe`] tries whether the kernel can), so whatever
//! looks at the disk sees the same for containers with and without a user namespace.

mod acting;
mod map;
pub(crate) mod namespace;
pub(crate) mod passage;
mod probe;
mod subordinate;

pub(crate) use acting::Acting;
pub use map::{IdMap, Range};
pub(crate) use probe::probe;
pub use subordinate::{Accounts, of_setting};
