//! System call filters: docker's profile format, the built-in profile, and what either comes to
//! for one container.

mod builtin;
mod profile;
mod projects;

pub(crate) use builtin::builtin;
pub(crate) use profile::{Conditions, PROCESSOR, Profile, kernel_version};
pub(crate) use projects::keep_projects;
