//! Names with values: ENV, LABEL and ARG.

use crate::error::{Error, Result};
use crate::syntax::{Arguments, Keyword, Pair};

/// A variable or a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// They are written with a space between them.
    pub legacy: bool,
}

/// What can be set from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its value if nobody sets it.
    pub default: Option<String>,
    /// What the comment before it says of it.
    pub description: Option<String>,
}

pub(super) fn variables(keyword: Keyword, arguments: &Arguments) -> Result<Vec<Variable>> {
    let name = keyword.name();
    let pairs: &[Pair] = match arguments {
        Arguments::Pairs(pairs) if !pairs.is_empty() => pairs,
        _ => return Err(Error::new(format!("{name} requires at least one argument"))),
    };
    let variables = pairs.iter().map(|pair| {
        if pair.name.is_empty() {
            return Err(blank(name));
        }
        let Pair { name, value, legacy } = pair.clone();
        Ok(Variable { name, value, legacy })
    });
    variables.collect()
}

pub(super) fn arguments(arguments: &Arguments, comments: &[String]) -> Result<Vec<Argument>> {
    let words: &[String] = match arguments {
        Arguments::Words(words) if !words.is_empty() => words,
        _ => return Err(Error::new("ARG requires at least one argument")),
    };
    let arguments = words.iter().map(|word| {
        let (name, default) = match word.split_once('=') {
            Some(("", _)) => return Err(blank("ARG")),
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (word.as_str(), None),
        };
        let description = description(comments, name);
        Ok(Argument { name: name.to_owned(), default, description })
    });
    arguments.collect()
}

/// What a comment says of `name`: `# NAME what it is`.
pub(super) fn description(comments: &[String], name: &str) -> Option<String> {
    let told = |comment: &String| Some(comment.strip_prefix(name)?.strip_prefix(' ')?.to_owned());
    if name.is_empty() { None } else { comments.iter().find_map(told) }
}

fn blank(name: &str) -> Error {
    Error::new(format!("{name} names can not be blank"))
}
