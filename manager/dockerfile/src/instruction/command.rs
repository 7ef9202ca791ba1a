//! Commands: a line for a shell, or the words of a program and its arguments.

use crate::syntax::{Arguments, Heredoc};

/// A command, as RUN, CMD and ENTRYPOINT have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What is run.
    pub words: Words,
    /// The documents that belong to it.
    pub documents: Vec<Heredoc>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// A line that a shell understands; none, if nothing was said.
    Line(Option<String>),
    /// A program and its arguments.
    List(Vec<String>),
}

impl Words {
    pub(super) fn read(arguments: &Arguments) -> Self {
        match arguments {
            Arguments::List(words) => Self::List(words.clone()),
            Arguments::Line(line) => Self::Line(Some(line.clone())),
            Arguments::None
            | Arguments::Words(_)
            | Arguments::Pairs(_)
            | Arguments::Check { .. }
            | Arguments::Trigger(_) => Self::Line(None),
        }
    }

    /// The words that are run by `shell`, or without one.
    #[must_use]
    pub fn with_shell(&self, shell: &[String]) -> Vec<String> {
        match self {
            Self::List(words) => words.clone(),
            Self::Line(line) => {
                let line = line.clone().unwrap_or_default();
                shell.iter().cloned().chain([line]).collect()
            }
        }
    }
}
