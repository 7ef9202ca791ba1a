//! Instructions before anybody has asked what they mean.

use super::{Heredoc, Keyword};
use crate::error::Lines;

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its first word, as it is written.
    pub word: String,
    /// What begins with `--`, without quotes.
    pub flags: Vec<String>,
    /// What follows.
    pub arguments: Arguments,
    /// The documents that follow its line.
    pub heredocs: Vec<Heredoc>,
    /// The whole line, with those that continue it.
    pub original: String,
    /// Where it stands, with its documents.
    pub lines: Lines,
    /// The comments right before it.
    pub comments: Vec<String>,
}

/// What follows an instruction's flags, taken apart as that instruction wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arguments {
    /// Nothing, or nothing that is known what to do with.
    None,
    /// A line.
    Line(String),
    /// Words between spaces, with their quotes.
    Words(Vec<String>),
    /// A list of strings in JSON.
    List(Vec<String>),
    /// Names with values.
    Pairs(Vec<Pair>),
    /// The kind of a health check, and its command.
    Check {
        /// The word before the command.
        kind: String,
        /// A line, a list, or nothing.
        command: Box<Arguments>,
    },
    /// The instruction that is to be done later.
    Trigger(Box<Node>),
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub name: String,
    /// The value, with its quotes.
    pub value: String,
    /// They are written with a space between them, as was usual once.
    pub legacy: bool,
}

impl Node {
    /// Which instruction it is, if there is such a one.
    #[must_use]
    pub fn keyword(&self) -> Option<Keyword> {
        Keyword::find(&self.word)
    }

    /// Whether documents may follow its line.
    pub(super) fn takes_documents(&self) -> bool {
        match (self.keyword(), &self.arguments) {
            (Some(Keyword::Onbuild), Arguments::Trigger(trigger)) => trigger.takes_documents(),
            (Some(Keyword::Add | Keyword::Copy | Keyword::Run), arguments) => {
                !matches!(arguments, Arguments::List(_))
            }
            _ => false,
        }
    }
}
