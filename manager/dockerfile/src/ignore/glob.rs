//! The parts that a pattern is made of.

use crate::error::{Error, Result};

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// This character.
    Exactly(char),
    /// The same, with an escape before it.
    Escaped(char),
    /// Any character but a slash.
    Any,
    /// Any number of those.
    Many,
    /// Any number of directories, or none.
    Directories,
    /// Everything from here on.
    Rest,
    /// One of some characters, or one that is none of them.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// Takes a pattern apart.
pub(super) fn parts(pattern: &str) -> Result<Vec<Part>> {
    let mut rest = pattern;
    let mut parts = Vec::new();
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        parts.push(match c {
            '*' => match rest.strip_prefix('*') {
                Some(after) => {
                    rest = after.strip_prefix('/').unwrap_or(after);
                    if rest.is_empty() { Part::Rest } else { Part::Directories }
                }
                None => Part::Many,
            },
            '?' => Part::Any,
            '[' => class(&mut rest)?,
            '\\' => Part::Escaped(take(&mut rest).ok_or_else(wrong)?),
            c => Part::Exactly(c),
        });
    }
    Ok(parts)
}

fn class(rest: &mut &str) -> Result<Part> {
    let negated = rest.starts_with('^');
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        if rest.starts_with(']') && !ranges.is_empty() {
            *rest = &rest[1..];
            return Ok(Part::Class { negated, ranges });
        }
        let first = member(rest)?;
        let last = match rest.strip_prefix('-') {
            Some(after) => {
                *rest = after;
                member(rest)?
            }
            None => first,
        };
        ranges.push((first, last));
    }
}

fn member(rest: &mut &str) -> Result<char> {
    match take(rest) {
        Some('\\') => take(rest).ok_or_else(wrong),
        Some(c) if c != '-' && c != ']' => Ok(c),
        Some(_) | None => Err(wrong()),
    }
}

fn take(rest: &mut &str) -> Option<char> {
    let c = rest.chars().next()?;
    *rest = &rest[c.len_utf8()..];
    Some(c)
}

fn wrong() -> Error {
    Error::new("syntax error in pattern")
}
