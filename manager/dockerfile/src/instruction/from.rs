//! FROM, which begins a stage.

use super::Step;
use super::flag::Flags;
use super::name_value::description;
use crate::error::{Error, Lines, Result};
use crate::lint::{self, Finding, Linter};
use crate::syntax::{Arguments, Keyword, Node};
use crate::text::quote::quoted;

/// What is done from one FROM to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What it begins with: an image, another stage, or `scratch`.
    pub base: String,
    /// Its name, in small letters.
    pub name: Option<String>,
    /// The platform of its image, with its variables.
    pub platform: Option<String>,
    /// What comments say of it.
    pub description: Option<String>,
    /// The word FROM, as it is written.
    pub word: String,
    /// Its whole line.
    pub source: String,
    /// Where that stands.
    pub lines: Lines,
    /// The comments right before it.
    pub comments: Vec<String>,
    /// What is done in it.
    pub steps: Vec<Step>,
}

pub(super) fn stage(node: &Node, linter: &mut Linter) -> Result<Stage> {
    let words: &[String] = match &node.arguments {
        Arguments::Words(words) => words,
        _ => &[],
    };
    let found = |linter: &mut Linter, finding| {
        linter.report_near(&node.comments, node.lines, finding);
    };
    if let [_, _, name] = words
        && *name != name.to_lowercase()
    {
        found(linter, Finding::StageNameCasing { stage: name.clone() });
    }
    if let [_, keyword, _, ..] = words
        && let Some(finding) = lint::from_and_as(&node.word, keyword)
    {
        found(linter, finding);
    }
    let (base, name) = match words {
        [base] => (base, None),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            (base, Some(stage_name(name)?))
        }
        _ => return Err(Error::new("FROM requires either one or three arguments")),
    };
    let flags = Flags::read(Keyword::From, &node.flags)?;
    if let Some(name) = &name {
        let finding = undescribed("FROM", &[name.as_str()], &node.comments);
        finding.into_iter().for_each(|finding| found(linter, finding));
    }
    Ok(Stage {
        base: base.clone(),
        description: name.as_ref().and_then(|name| description(&node.comments, name)),
        name,
        platform: Some(flags.text("platform")).filter(|platform| !platform.is_empty()),
        word: node.word.clone(),
        source: node.original.trim().to_owned(),
        lines: node.lines,
        comments: node.comments.clone(),
        steps: Vec::new(),
    })
}

fn stage_name(written: &str) -> Result<String> {
    let name = written.to_lowercase();
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(rest) {
        return Ok(name);
    }
    Err(Error::new(format!(
        "invalid name for build stage: {}, name can't start with a number or contain symbols",
        quoted(written)
    )))
}

/// The last comment before a definition begins with a name that it defines.
pub(super) fn undescribed(
    instruction: &str,
    names: &[&str],
    comments: &[String],
) -> Option<Finding> {
    let first_word = comments.last()?.split(' ').next()?;
    if names.contains(&first_word) {
        return None;
    }
    let name = match names {
        [] => return None,
        [name] => (*name).to_owned(),
        _ => "<arg_key>".to_owned(),
    };
    Some(Finding::InvalidDefinitionDescription { instruction: instruction.to_owned(), name })
}
