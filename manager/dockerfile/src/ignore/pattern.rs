//! One pattern, and the paths that it is about.

use std::fmt::Write;

use regex::Regex;

use super::glob::{self, Part};
use crate::error::{Error, Result};

/// A pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// It takes back what others say.
    pub(super) exception: bool,
    /// Its text, clean.
    pub(super) text: String,
    way: Way,
}

/// How it is matched; most patterns are simple.
#[derive(Debug, Clone)]
enum Way {
    Whole,
    Prefix(String),
    Suffix(String),
    Expression(Regex),
}

impl Pattern {
    pub(super) fn new(text: &str, exception: bool) -> Result<Self> {
        let parts = glob::parts(text)?;
        let is_plain = |parts: &[Part]| parts.iter().all(|part| matches!(part, Part::Exactly(_)));
        let way = match parts.as_slice() {
            parts if is_plain(parts) => Way::Whole,
            [Part::Rest] => Way::Suffix(String::new()),
            [before @ .., Part::Rest] if is_plain(before) => {
                Way::Prefix(text.trim_end_matches('*').to_owned())
            }
            [Part::Directories, after @ ..] if is_plain(after) => Way::Suffix(text[2..].to_owned()),
            parts => Way::Expression(expression(parts)?),
        };
        Ok(Self { exception, text: text.to_owned(), way })
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match &self.way {
            Way::Whole => path == self.text,
            Way::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Way::Suffix(suffix) => {
                path.ends_with(suffix.as_str())
                    || suffix.strip_prefix('/').is_some_and(|name| path == name)
            }
            Way::Expression(expression) => expression.is_match(path),
        }
    }

    /// Whether something in `directory` may match.
    pub(super) fn may_match_in(&self, directory: &str) -> bool {
        let ours = self.text.split('/');
        for (ours, theirs) in ours.zip(directory.split('/')) {
            if ours.contains(['*', '?', '[', '\\']) {
                return true;
            }
            if ours != theirs {
                return false;
            }
        }
        true
    }
}

fn expression(parts: &[Part]) -> Result<Regex> {
    let mut text = "(?s)^".to_owned();
    for part in parts {
        match part {
            Part::Exactly(c) | Part::Escaped(c) => {
                text.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
            }
            Part::Any => text.push_str("[^/]"),
            Part::Many => text.push_str("[^/]*"),
            Part::Directories => text.push_str("(?:.*/)?"),
            Part::Rest => text.push_str(".*"),
            Part::Class { negated, ranges } => {
                text.push_str(&class(*negated, ranges));
            }
        }
    }
    text.push('$');
    Regex::new(&text).map_err(|_| Error::new("the pattern is too long"))
}

/// One character of a class, as an expression. Ranges that are the wrong way round have none in them.
fn class(negated: bool, ranges: &[(char, char)]) -> String {
    let mut members = String::new();
    for (first, last) in ranges.iter().filter(|(first, last)| first <= last) {
        let (first, last) = (u32::from(*first), u32::from(*last));
        // A string takes all that is written to it.
        let _infallible = write!(members, "\\x{{{first:x}}}-\\x{{{last:x}}}");
    }
    match (negated, members.is_empty()) {
        (false, false) => format!("[{members}]"),
        (true, false) => format!("[^{members}]"),
        (false, true) => "[a&&b]".to_owned(),
        (true, true) => ".".to_owned(),
    }
}
