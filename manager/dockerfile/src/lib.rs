//! The language of Dockerfiles, as `docker/dockerfile:1` has it.
//!
//! A build begins as text. This crate makes of it what has to be done, and does none of it: no file
//! is opened, nothing is fetched or run. From the text on:
//!
//! ```text
//! syntax        lines, directives, comments, documents      -> nodes
//! instruction   what each node means, with all its flags    -> stages
//! plan          which stages are needed, in which order, and
//!               what is done in each: variables have their
//!               values, paths are absolute                  -> operations, and the image's settings
//! ```
//!
//! beside which there are `shell` (variables in words), `ignore` (`.dockerignore`), `source` (what is
//! copied from elsewhere), `image` (settings of images) and `lint` (warnings about what works, and is
//! no good idea).

mod error;
pub mod ignore;
pub mod image;
pub mod instruction;
pub mod lint;
pub mod plan;
pub mod platform;
pub mod shell;
pub mod source;
pub mod syntax;
mod text;

pub use error::{Error, Lines, Result};
pub use text::csv::fields as csv_fields;
