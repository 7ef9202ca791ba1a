//! What runs inside: from the new process's first step to its program.
//!
//! [`spawn`] makes the process. [`container`] is the story of a container's first process,
//! [`join`] that of one more; both end in [`launch`]. All they need was understood and opened by
//! the maker before; what they have to say goes over a [`channel`].

pub(crate) mod channel;
pub(crate) mod container;
mod fork;
pub(crate) mod idmap;
pub(crate) mod join;
pub(crate) mod launch;
pub(crate) mod namespaces;
pub(crate) mod spawn;
