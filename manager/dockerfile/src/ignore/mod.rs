//! `.dockerignore`: which files of a context are not part of it.

mod file;
mod glob;
mod matcher;
mod pattern;

pub use file::{names, patterns};
pub use matcher::{Matcher, Parent};
