//! Reads a word character by character.

use super::{Environment, Escapes, Expanded, Expansion, Quotes, Unset};

/// How far substitutions may stand in each other.
const DEEPEST: usize = 50;
/// By how much variables may make a word longer.
pub(super) const MOST: usize = 1 << 20;

/// What is wrong with a word, as a shell would say it.
pub(super) type Lexed<T> = Result<T, String>;

pub(super) struct Lexer<'a> {
    rules: &'a Expansion,
    pub(super) rest: &'a str,
    pub(super) environment: &'a Environment,
    /// Patterns keep their escapes, whatever becomes of others.
    escapes: Escapes,
    depth: usize,
    room: usize,
    found: Expanded,
}

/// A text, and its parts between spaces.
#[derive(Default)]
struct Words {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Words {
    /// Adds what can't end a word.
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
    }

    /// Adds a character, which ends a word if it is a space.
    fn add_open(&mut self, c: char) {
        self.text.push(c);
        if c.is_whitespace() {
            self.end_word();
        } else {
            self.word.push(c);
        }
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }
}

impl<'a> Lexer<'a> {
    pub(super) fn new(rules: &'a Expansion, word: &'a str, environment: &'a Environment) -> Self {
        Self {
            rules,
            rest: word,
            environment,
            escapes: rules.escapes,
            depth: 0,
            room: word.len() + MOST,
            found: Expanded::default(),
        }
    }

    pub(super) fn run(mut self) -> Lexed<Expanded> {
        let mut words = self.until(None)?;
        words.end_word();
        self.found.text = words.text;
        self.found.words = words.words;
        Ok(self.found)
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// The text up to `stop`, which is taken as well, as a part of a substitution.
    pub(super) fn part(&mut self, stop: char, escapes: Escapes) -> Lexed<String> {
        if self.depth == DEEPEST {
            return Err(format!("substitutions stand in each other more than {DEEPEST} times"));
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.escapes, escapes);
        let words = self.until(Some(stop));
        self.escapes = outer;
        self.depth -= 1;
        Ok(words?.text)
    }

    fn until(&mut self, stop: Option<char>) -> Lexed<Words> {
        let mut words = Words::default();
        let quotes = self.rules.quotes != Quotes::Plain;
        while let Some(c) = self.peek() {
            if stop == Some(c) {
                self.next();
                return Ok(words);
            }
            match c {
                '\'' if quotes => words.add(&self.single_quoted()?),
                '"' if quotes => words.add(&self.double_quoted()?),
                '$' => {
                    for c in self.dollar()?.chars() {
                        words.add_open(c);
                    }
                }
                '<' => words.add(self.possible_heredoc()),
                _ => self.character(&mut words),
            }
        }
        match stop {
            None => Ok(words),
            Some(stop) => {
                Err(format!("unexpected end of statement while looking for matching {stop}"))
            }
        }
    }

    /// Takes one character, or two if the first escapes the second.
    fn character(&mut self, words: &mut Words) {
        let Some(c) = self.next() else { return };
        if c != self.rules.escape {
            return words.add_open(c);
        }
        if self.escapes == Escapes::Kept {
            words.add(c.encode_utf8(&mut [0; 4]));
        }
        // At the end there is nothing to escape.
        if let Some(escaped) = self.next() {
            words.add(escaped.encode_utf8(&mut [0; 4]));
        }
    }

    /// Nothing has a meaning between single quotes.
    fn single_quoted(&mut self) -> Lexed<String> {
        let inner = &self.rest[1..];
        let Some(end) = inner.find('\'') else {
            let expected = "unexpected end of statement while looking for matching single-quote";
            return Err(expected.to_owned());
        };
        self.rest = &inner[end + 1..];
        Ok(match self.rules.quotes {
            Quotes::Kept => format!("'{}'", &inner[..end]),
            Quotes::Removed | Quotes::Plain => inner[..end].to_owned(),
        })
    }

    /// Variables are replaced between double quotes, and quotes, variables and the escape itself
    /// can be escaped.
    fn double_quoted(&mut self) -> Lexed<String> {
        let mut text = String::new();
        let kept = self.rules.quotes == Quotes::Kept;
        self.next();
        if kept {
            text.push('"');
        }
        loop {
            match self.peek() {
                None => {
                    let expected =
                        "unexpected end of statement while looking for matching double-quote";
                    return Err(expected.to_owned());
                }
                Some('"') => {
                    self.next();
                    if kept {
                        text.push('"');
                    }
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) => {
                    self.next();
                    let escaped =
                        if c == self.rules.escape { self.escaped_in_quotes() } else { None };
                    if c != self.rules.escape || self.escapes == Escapes::Kept || escaped.is_none()
                    {
                        text.push(c);
                    }
                    text.extend(escaped);
                }
            }
        }
    }

    fn escaped_in_quotes(&mut self) -> Option<char> {
        let next = self.peek()?;
        if next != '"' && next != '$' && next != self.rules.escape {
            return None;
        }
        self.next()
    }

    /// `<<` and spaces after it belong to the word that they begin.
    fn possible_heredoc(&mut self) -> &'a str {
        let start = self.rest;
        let len = match start.strip_prefix("<<") {
            Some(after) => start.len() - after.trim_start_matches(['\t', '\r', ' ']).len(),
            None => 1,
        };
        self.rest = &start[len..];
        &start[..len]
    }

    /// Whether variables that are not set stay as they are.
    pub(super) fn keeps_unset(&self) -> bool {
        self.rules.unset == Unset::Kept
    }

    /// The value of `name`; that it was looked for is remembered.
    pub(super) fn look_up(&mut self, name: &str) -> Option<&'a str> {
        let value = self.environment.get(name);
        let seen = match value {
            Some(_) => &mut self.found.used,
            None => &mut self.found.missing,
        };
        if !seen.contains(name) {
            seen.insert(name.to_owned());
        }
        value
    }

    /// Takes what a variable has become from what the word may grow by.
    pub(super) fn grow(&mut self, text: String) -> Lexed<String> {
        match self.room.checked_sub(text.len()) {
            Some(room) => self.room = room,
            None => return Err(format!("variables make it longer by more than {MOST} bytes")),
        }
        Ok(text)
    }
}
