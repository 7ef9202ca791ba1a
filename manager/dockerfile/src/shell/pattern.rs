//! Patterns in substitutions: `?` is any character, `*` any number of them.

use regex::Regex;

use super::lexer::Lexed;

/// Which end of a value is trimmed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Front,
    Back,
}

/// How much of a value a pattern takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Shortest,
    Longest,
}

/// One part of a pattern.
enum Part {
    Any,
    Many,
    Exactly(char),
}

/// Finds `pattern` anywhere, as long a piece as there is.
pub(super) fn find(pattern: &str) -> Lexed<Regex> {
    compile(&parts(pattern)?, Reach::Longest, "", pattern)
}

/// Takes what `pattern` matches from one end of `value`.
pub(super) fn trim(pattern: &str, value: &str, end: End, reach: Reach) -> Lexed<String> {
    let mut parts = parts(pattern)?;
    // A regular expression finds the leftmost match, so the end is trimmed backwards.
    let backwards: String;
    let value = match end {
        End::Front => value,
        End::Back => {
            parts.reverse();
            backwards = value.chars().rev().collect();
            &backwards
        }
    };
    let found = compile(&parts, reach, "^", pattern)?;
    let rest = found.find(value).map_or(value, |at| &value[at.end()..]);
    Ok(match end {
        End::Front => rest.to_owned(),
        End::Back => rest.chars().rev().collect(),
    })
}

fn parts(pattern: &str) -> Lexed<Vec<Part>> {
    let mut parts = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(c) = characters.next() {
        parts.push(match c {
            '*' => Part::Many,
            '?' => Part::Any,
            // What would end the pattern is escaped for that alone.
            '\\' if matches!(characters.peek(), Some('}' | '/')) => continue,
            '\\' => match characters.next() {
                Some(c @ ('*' | '?' | '\\')) => Part::Exactly(c),
                other => {
                    let other = other.map_or("\u{fffd}".to_owned(), String::from);
                    return Err(wrong(pattern, &format!("invalid escape '\\{other}'")));
                }
            },
            c => Part::Exactly(c),
        });
    }
    Ok(parts)
}

fn compile(parts: &[Part], reach: Reach, anchor: &str, pattern: &str) -> Lexed<Regex> {
    let mut text = anchor.to_owned();
    for part in parts {
        match part {
            Part::Any => text.push('.'),
            Part::Many => text.push_str(if reach == Reach::Longest { ".*" } else { ".*?" }),
            Part::Exactly(c) => text.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    Regex::new(&text).map_err(|_| wrong(pattern, "it is too long"))
}

fn wrong(pattern: &str, what: &str) -> String {
    format!("invalid pattern ({pattern}) in substitution: {what}")
}
