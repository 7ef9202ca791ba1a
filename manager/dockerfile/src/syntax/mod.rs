//! The text of a Dockerfile: directives, comments, continued lines and documents are understood
//! here, and each instruction's arguments are taken apart as that instruction wants it.

mod arguments;
mod directive;
mod flags;
mod heredoc;
mod json;
mod keyword;
mod lines;
mod node;
mod parse;
#[cfg(test)]
mod tests;
mod words;

pub use directive::{Directive, Frontend, check, frontend};
pub use heredoc::Heredoc;
pub use keyword::Keyword;
pub use node::{Arguments, Node, Pair};
pub use parse::{Document, parse};

pub(crate) use directive::of_comment as directive_of_comment;
