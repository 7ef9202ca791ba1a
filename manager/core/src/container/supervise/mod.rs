//! What becomes of containers that run: their ends, their new starts, their health.
//!
//! Starting a container again by its restart policy, and probing whether it is well, are the
//! shim's: both go on while no manager is there. We follow what it tells ([`follow`]) and keep the
//! record. What a shim can't do is done here by the same policy and with the same patience
//! ([`again`]): when the shim itself has died, after the machine was booted, and for a container
//! that joins namespaces of another container's process, which is another one after each start.
//!
//! That a user stops a container is written down before the shim is told not to start it again, and
//! that before anything is sent to its process ([`hold`]). So a manager that dies in between leaves
//! a record that says what is wanted, and the next one tells the shim.

pub(super) mod backoff;
pub(super) mod policy;
pub(super) mod probe;

mod again;
mod follow;
mod hold;
mod step;

pub(super) use follow::tell_dropped;
pub(super) use hold::Wish;
