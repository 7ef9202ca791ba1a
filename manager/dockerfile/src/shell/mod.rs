//! Variables in words: `$name`, `${name}` and what can be done to a value on the way, with the
//! quotes of a shell.
//!
//! This is done by the builder before any shell sees the word. It looks like a POSIX shell's
//! expansion and is simpler: nothing is run, no file names are matched.

mod environment;
mod lexer;
mod pattern;
mod substitution;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use environment::Environment;
pub(crate) use environment::split;

use crate::error::{Error, Result};
use crate::text::quote::quoted;
use lexer::Lexer;

/// What becomes of quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// They are taken off, as a shell does.
    Removed,
    /// They are understood, and stay where they are.
    Kept,
    /// They mean nothing, as in a document.
    Plain,
}

/// What becomes of variables that nobody has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unset {
    /// They are empty.
    Empty,
    /// They stay as they are written.
    Kept,
}

/// What becomes of the characters that escape others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// They are taken off.
    Removed,
    /// They stay where they are.
    Kept,
}

/// How words are expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expansion {
    /// The character that takes the meaning from the next one: `\`, or what a directive says.
    pub escape: char,
    /// What becomes of it.
    pub escapes: Escapes,
    /// What becomes of quotes.
    pub quotes: Quotes,
    /// What becomes of variables that nobody has set.
    pub unset: Unset,
}

/// A word whose variables have been replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The whole of it.
    pub text: String,
    /// Its parts between spaces, of those that came from variables, too.
    pub words: Vec<String>,
    /// The variables that were set.
    pub used: BTreeSet<String>,
    /// The variables that were not.
    pub missing: BTreeSet<String>,
}

impl Expansion {
    /// As arguments of instructions are expanded.
    #[must_use]
    pub fn new(escape: char) -> Self {
        Self { escape, escapes: Escapes::Removed, quotes: Quotes::Removed, unset: Unset::Empty }
    }

    /// As documents are that stand in a Dockerfile.
    #[must_use]
    pub fn of_document() -> Self {
        Self { quotes: Quotes::Plain, ..Self::new('\\') }
    }

    /// Replaces the variables in `word` by what `environment` has.
    ///
    /// # Errors
    /// Quotes or braces that don't end, modifiers that don't exist, variables that have to be set
    /// and are not, and more text than anyone can mean.
    pub fn expand(&self, word: &str, environment: &Environment) -> Result<Expanded> {
        Lexer::new(self, word, environment)
            .run()
            .map_err(|wrong| Error::new(format!("failed to process {}: {wrong}", quoted(word))))
    }
}
