//! Builds as docker's classic builder did them, for clients without `BuildKit`: what is asked and told
//! is what it was then, and what is done is done as for everybody else.

mod asked;
mod build;
mod context;
mod failure;
mod history;
mod said;
mod scratch;
mod script;
mod teller;
mod unused;

pub use asked::{Asked, Limits};
pub use build::build;
pub use said::Said;
pub use scratch::Scratch;
