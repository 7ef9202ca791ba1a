//! Words of an instruction: quotes, escapes and variables, as a shell has them.

use std::iter::Peekable;
use std::str::Chars;

use crate::error::{Error, Result};

/// Splits `text` at spaces that are not quoted; quotes and escapes stay in the words.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, None) if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            // Nothing is escaped in single quotes.
            ('\\', None | Some('"')) => {
                word.push('\\');
                word.extend(letters.next());
                continue;
            }
            ('\'' | '"', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            _ => {}
        }
        word.push(letter);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Splits `text` into words, and again where a variable brings spaces.
pub(super) fn split_expanded(text: &str, environment: &[String]) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for word in split(text) {
        words.extend(expand(&word, environment)?.split_whitespace().map(str::to_owned));
    }
    Ok(words)
}

/// Takes quotes and escapes off `word` and puts in the values of variables, which are looked up
/// in `environment` (`NAME=value`).
pub(super) fn expand(word: &str, environment: &[String]) -> Result<String> {
    Expansion { letters: word.chars().peekable(), environment }.until(None)
}

struct Expansion<'a> {
    letters: Peekable<Chars<'a>>,
    environment: &'a [String],
}

impl Expansion<'_> {
    /// Everything up to `end`, or to the end of the word.
    fn until(&mut self, end: Option<char>) -> Result<String> {
        let mut result = String::new();
        while let Some(letter) = self.letters.next() {
            match letter {
                _ if Some(letter) == end => return Ok(result),
                '\'' => self.single_quoted(&mut result)?,
                '"' => self.double_quoted(&mut result)?,
                '$' => result.push_str(&self.variable()?),
                '\\' => result.extend(self.letters.next()),
                letter => result.push(letter),
            }
        }
        match end {
            Some(end) => Err(Error::invalid(format!("syntax error: missing '{end}'"))),
            None => Ok(result),
        }
    }

    fn single_quoted(&mut self, result: &mut String) -> Result<()> {
        for letter in self.letters.by_ref() {
            if letter == '\'' {
                return Ok(());
            }
            result.push(letter);
        }
        Err(unmatched("single-quote"))
    }

    fn double_quoted(&mut self, result: &mut String) -> Result<()> {
        while let Some(letter) = self.letters.next() {
            match letter {
                '"' => return Ok(()),
                '$' => result.push_str(&self.variable()?),
                '\\' => match self.letters.next_if(|next| matches!(next, '"' | '$' | '\\')) {
                    Some(escaped) => result.push(escaped),
                    None => result.push('\\'),
                },
                letter => result.push(letter),
            }
        }
        Err(unmatched("double-quote"))
    }

    /// What follows a `$`.
    fn variable(&mut self) -> Result<String> {
        if self.letters.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(if name.is_empty() { "$".to_owned() } else { self.value(&name).0 });
        }
        let name = self.name();
        if name.is_empty() {
            return Err(Error::invalid("syntax error: bad substitution"));
        }
        let (value, set) = self.value(&name);
        let unset_if_empty = match self.letters.next() {
            Some('}') => return Ok(value),
            Some(':') => true,
            Some(modifier) => return self.modified(modifier, &name, value, set),
            None => return Err(Error::invalid("syntax error: missing '}'")),
        };
        let set = set && !(unset_if_empty && value.is_empty());
        match self.letters.next() {
            Some(modifier) => self.modified(modifier, &name, value, set),
            None => Err(Error::invalid("syntax error: missing '}'")),
        }
    }

    fn modified(&mut self, modifier: char, name: &str, value: String, set: bool) -> Result<String> {
        let word = self.until(Some('}'))?;
        match (modifier, set) {
            ('-', true) | ('?', true) => Ok(value),
            ('-', false) | ('+', true) => Ok(word),
            ('+', false) => Ok(String::new()),
            ('?', false) if word.is_empty() => {
                Err(Error::invalid(format!("{name}: is not allowed to be unset")))
            }
            ('?', false) => Err(Error::invalid(format!("{name}: {word}"))),
            _ => Err(Error::invalid(format!("unsupported modifier ({modifier}) in substitution"))),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(letter) =
            self.letters.next_if(|letter| letter.is_alphanumeric() || *letter == '_')
        {
            name.push(letter);
        }
        name
    }

    /// The value of a variable, and whether it is set.
    fn value(&self, name: &str) -> (String, bool) {
        let variables = self.environment.iter().filter_map(|entry| entry.split_once('='));
        match variables.rev().find(|(known, _)| *known == name) {
            Some((_, value)) => (value.to_owned(), true),
            None => (String::new(), false),
        }
    }
}

fn unmatched(what: &str) -> Error {
    Error::invalid(format!("unexpected end of statement while looking for matching {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(
            split(r#"a "b c" d\ e 'f "g' h="i j""#),
            ["a", r#""b c""#, r"d\ e", r#"'f "g'"#, r#"h="i j""#]
        );
    }

    #[test]
    fn variables_are_put_in() {
        let environment = ["A=x".to_owned(), "E=".to_owned()];
        for (word, expected) in [
            ("$A", "x"),
            ("${A}y", "xy"),
            ("$Ay", ""),
            (r"\$A", "$A"),
            ("'$A'", "$A"),
            (r#""$A \" \n""#, r#"x " \n"#),
            ("${N:-d$A}", "dx"),
            ("${E:-d}", "d"),
            ("${E-d}", ""),
            ("${A:+s}", "s"),
            ("${N+s}", ""),
            ("cost$", "cost$"),
        ] {
            assert_eq!(expand(word, &environment).unwrap(), expected, "{word}");
        }
        for bad in ["${A", "${}", "'a", "\"a", "${N:?gone}", "${A%x}"] {
            assert!(expand(bad, &environment).is_err(), "{bad}");
        }
    }
}
