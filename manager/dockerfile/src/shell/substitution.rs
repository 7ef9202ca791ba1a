//! What follows a `$`.

use super::Escapes;
use super::lexer::{Lexed, Lexer};
use super::pattern::{self, End, Reach};

impl Lexer<'_> {
    /// Reads a variable from its `$` on, and gives what it stands for.
    pub(super) fn dollar(&mut self) -> Lexed<String> {
        self.next();
        let text = if self.peek() == Some('{') { self.braced()? } else { self.bare() };
        self.grow(text)
    }

    fn bare(&mut self) -> String {
        let name = self.name();
        match self.look_up_named(&name) {
            Some(value) => value,
            None if name.is_empty() || self.keeps_unset() => format!("${name}"),
            None => String::new(),
        }
    }

    fn look_up_named(&mut self, name: &str) -> Option<String> {
        if name.is_empty() { None } else { self.look_up(name).map(str::to_owned) }
    }

    fn braced(&mut self) -> Lexed<String> {
        self.next();
        match self.peek() {
            None => return Err("syntax error: missing '}'".to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        let Some(modifier) = self.next() else {
            return Err(unsupported("\u{fffd}"));
        };
        match modifier {
            '}' => {
                let value = self.look_up(&name).map(str::to_owned);
                Ok(match value {
                    Some(value) => value,
                    None if self.keeps_unset() => format!("${{{name}}}"),
                    None => String::new(),
                })
            }
            ':' => match self.next() {
                Some(c @ ('-' | '+' | '?')) => self.conditional(&name, c, true),
                Some(c) => Err(unsupported(&format!(":{c}"))),
                None => Err(unsupported(":\u{fffd}")),
            },
            '-' | '+' | '?' => self.conditional(&name, modifier, false),
            '#' | '%' => self.trimmed(&name, modifier),
            '/' => self.replaced(&name),
            other => Err(unsupported(other.encode_utf8(&mut [0; 4]))),
        }
    }

    /// `${name:-word}` and the like: one of the value, the word and nothing.
    fn conditional(&mut self, name: &str, kind: char, empty_is_unset: bool) -> Lexed<String> {
        let word = self.last_part(Escapes::Removed)?;
        let value = self.look_up(name);
        let colon = if empty_is_unset { ":" } else { "" };
        let Some(value) = value else {
            if self.keeps_unset() {
                return Ok(format!("${{{name}{colon}{kind}{word}}}"));
            }
            return match kind {
                '-' => Ok(word),
                '+' => Ok(String::new()),
                _ => Err(refused(name, word, "is not allowed to be unset")),
            };
        };
        let missing = empty_is_unset && value.is_empty();
        match (kind, missing) {
            ('-', true) | ('+', false) => Ok(word),
            ('+', true) => Ok(String::new()),
            ('-' | '?', false) => Ok(value.to_owned()),
            _ => Err(refused(name, word, "is not allowed to be empty")),
        }
    }

    /// `${name#pattern}`, `##`, `%` and `%%`: the value without its beginning or its end.
    fn trimmed(&mut self, name: &str, kind: char) -> Lexed<String> {
        let word = self.last_part(Escapes::Kept)?;
        let Some(value) = self.look_up(name).map(str::to_owned) else {
            let kept =
                if self.keeps_unset() { format!("${{{name}{kind}{word}}}") } else { String::new() };
            return Ok(kept);
        };
        let (pattern, reach) = match word.strip_prefix(kind) {
            Some(pattern) => (pattern, Reach::Longest),
            None => (word.as_str(), Reach::Shortest),
        };
        let end = if kind == '#' { End::Front } else { End::Back };
        pattern::trim(pattern, &value, end, reach)
    }

    /// `${name/pattern/replacement}`, and with `//` everywhere.
    fn replaced(&mut self, name: &str) -> Lexed<String> {
        let everywhere = self.peek() == Some('/');
        if everywhere {
            self.next();
        }
        let pattern = self.part('/', Escapes::Kept).map_err(|wrong| match self.peek() {
            None => "syntax error: missing '/' in ${}".to_owned(),
            Some(_) => wrong,
        })?;
        let replacement = self.last_part(Escapes::Kept)?;
        let Some(value) = self.look_up(name).map(str::to_owned) else {
            let kept = format!("${{{name}/{pattern}/{replacement}}}");
            return Ok(if self.keeps_unset() { kept } else { String::new() });
        };
        let found = pattern::find(&pattern)?;
        if everywhere {
            self.replace_all(&found, &value, &replacement)
        } else {
            Ok(match found.find(&value) {
                Some(at) => format!("{}{replacement}{}", &value[..at.start()], &value[at.end()..]),
                None => value,
            })
        }
    }

    /// Each piece is taken from what the word may grow by before the next is made.
    fn replace_all(
        &mut self,
        found: &regex::Regex,
        value: &str,
        replacement: &str,
    ) -> Lexed<String> {
        let mut text = String::new();
        let mut at = 0;
        for place in found.find_iter(value) {
            text.push_str(&value[at..place.start()]);
            text.push_str(replacement);
            at = place.end();
            if text.len() > super::lexer::MOST {
                return self.grow(text);
            }
        }
        text.push_str(&value[at..]);
        Ok(text)
    }

    /// The rest of a substitution, up to its brace.
    fn last_part(&mut self, escapes: Escapes) -> Lexed<String> {
        self.part('}', escapes).map_err(|wrong| match self.peek() {
            None => "syntax error: missing '}'".to_owned(),
            Some(_) => wrong,
        })
    }

    /// Letters, digits and underscores, only digits, or one of the shell's special characters.
    fn name(&mut self) -> String {
        let first = self.peek();
        let end = match first {
            Some(c) if c.is_numeric() => self.rest.find(|c: char| !c.is_numeric()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => Some(1),
            _ => self.rest.find(|c: char| !c.is_alphanumeric() && c != '_'),
        };
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        name.to_owned()
    }
}

fn unsupported(modifier: &str) -> String {
    format!("unsupported modifier ({modifier}) in substitution")
}

fn refused(name: &str, word: String, otherwise: &str) -> String {
    let message = if word.is_empty() { otherwise.to_owned() } else { word };
    format!("{name}: {message}")
}
