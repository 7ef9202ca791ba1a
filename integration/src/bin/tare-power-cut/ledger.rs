//! What must be there, by what the guest said before its power was cut. A name is an image's, or
//! a container's after `container:`.
//!
//! The guest says each of these lines when an answer to its request is there, and `? NAME` before it
//! asks for a change: what is asked and not answered may be done or not.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Where a name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is this image's or container's: `+ NAME ID`.
    There(String),
    /// It is nobody's: `- NAME`.
    Gone,
    /// One of these: `? NAME`.
    Open,
}

/// All names of which something is known.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ledger(BTreeMap<String, Standing>);

impl Ledger {
    /// Takes down a line; false: it is none of a ledger's.
    pub(crate) fn take(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        let (name, standing) = match words[..] {
            ["+", name, id] => (name, Standing::There(id.to_owned())),
            ["-", name] => (name, Standing::Gone),
            ["?", name] => (name, Standing::Open),
            _ => return false,
        };
        self.0.insert(name.to_owned(), standing);
        true
    }

    /// The names and where they stand.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Standing)> {
        self.0.iter()
    }

    /// It as lines.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, standing) in &self.0 {
            // Writing to a string does not fail.
            let _ = match standing {
                Standing::There(id) => writeln!(text, "+ {name} {id}"),
                Standing::Gone => writeln!(text, "- {name}"),
                Standing::Open => writeln!(text, "? {name}"),
            };
        }
        text
    }
}
