//! Reads a file from its first line to its last.

use super::directive::{Directive, Directives};
use super::heredoc::Heredoc;
use super::lines::{Source, continued, is_comment};
use super::node::{Arguments, Node};
use super::{Keyword, arguments, flags};
use crate::error::{Error, Lines, Result};
use crate::text::quote::quoted;

const ESCAPE: char = '\\';

/// A file's instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// They, in order.
    pub nodes: Vec<Node>,
    /// The character that escapes others and continues lines.
    pub escape: char,
    /// The last lines of instructions that go on over an empty line.
    pub empty_continuations: Vec<Lines>,
}

/// Reads a file.
///
/// # Errors
/// What can't be taken apart, with the lines that it is in.
pub fn parse(source: &[u8]) -> Result<Document> {
    let mut source = Source::new(source);
    let mut directives = Directives::new("#");
    let mut document =
        Document { nodes: Vec::new(), escape: ESCAPE, empty_continuations: Vec::new() };
    let mut comments = Vec::new();
    while let Some(line) = source.line()? {
        let line = line.trim_start();
        let here = Lines::one(source.number);
        if let Some(directive) = directives.take(line).map_err(|error| error.at(here))? {
            if let Directive::Escape(value) = directive {
                document.escape = escape(&value).map_err(|error| error.at(here))?;
            }
        } else if let Some(comment) = line.strip_prefix('#') {
            note(&mut comments, comment.trim());
        } else if !line.is_empty() {
            let comments = std::mem::take(&mut comments);
            let node = instruction(&mut source, line, &mut document, comments)?;
            document.nodes.push(node);
        }
    }
    if document.nodes.is_empty() {
        return Err(Error::new("file with no instructions").at(Lines::one(source.number.max(1))));
    }
    Ok(document)
}

fn escape(value: &str) -> Result<char> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        other => Err(Error::new(format!("invalid escape token '{other}' does not match ` or \\"))),
    }
}

/// Comments right before an instruction belong to it; one without text parts them from it.
fn note(comments: &mut Vec<String>, comment: &str) {
    if comment.is_empty() {
        comments.clear();
    } else {
        comments.push(comment.to_owned());
    }
}

/// Reads one instruction, of which the first line is there.
fn instruction(
    source: &mut Source<'_>,
    first: &str,
    document: &mut Document,
    comments: Vec<String>,
) -> Result<Node> {
    let start = source.number;
    let (line, empty_continuation) = whole_line(source, first, document.escape)?;
    let lines = Lines::new(start, source.number);
    if empty_continuation {
        document.empty_continuations.push(Lines::one(source.number));
    }
    let mut node = node(&line, document.escape).map_err(|error| error.at(lines))?;
    node.comments = comments;
    if node.takes_documents() && line.contains("<<") {
        for heredoc in Heredoc::in_line(&line).map_err(|error| error.at(lines))? {
            let heredoc = fill(source, heredoc, start)?;
            node.heredocs.push(heredoc);
        }
    }
    node.lines = Lines::new(start, source.number);
    Ok(node)
}

/// Joins a line with those that continue it, and says whether an empty one was among them.
fn whole_line(source: &mut Source<'_>, first: &str, escape: char) -> Result<(String, bool)> {
    let mut empty = false;
    let Some(before) = continued(first, escape) else { return Ok((first.to_owned(), empty)) };
    let mut whole = before.to_owned();
    while let Some(line) = source.line()? {
        if is_comment(&line) {
            continue;
        }
        if line.trim_start().is_empty() {
            empty = true;
            continue;
        }
        let Some(before) = continued(&line, escape) else {
            whole.push_str(&line);
            break;
        };
        whole.push_str(before);
    }
    Ok((whole, empty))
}

fn fill(source: &mut Source<'_>, mut heredoc: Heredoc, start: usize) -> Result<Heredoc> {
    while let Some(line) = source.verbatim()? {
        if heredoc.ends_with(line) {
            return Ok(heredoc);
        }
        heredoc.content.push_str(line);
    }
    let expected = format!("a line {} ends it", quoted(&heredoc.name));
    let error = Heredoc::unterminated();
    Err(Error::new(format!("{error}: {expected}")).at(Lines::new(start, source.number)))
}

/// Takes an instruction's whole line apart.
fn node(line: &str, escape: char) -> Result<Node> {
    let parts = flags::split(line, escape);
    let arguments = match Keyword::find(parts.word) {
        Some(keyword) => arguments::arguments(keyword, parts.rest, escape)?,
        None => Arguments::None,
    };
    Ok(from_parts(line, parts, arguments))
}

/// The same for an instruction in another. One that is in a third is nothing that could be meant, and
/// who looks at its word will say so.
pub(super) fn trigger(line: &str, escape: char) -> Result<Node> {
    let parts = flags::split(line, escape);
    match Keyword::find(parts.word) {
        Some(Keyword::Onbuild) => Ok(from_parts(line, parts, Arguments::None)),
        _ => node(line, escape),
    }
}

fn from_parts(line: &str, parts: flags::Line<'_>, arguments: Arguments) -> Node {
    Node {
        word: parts.word.to_owned(),
        flags: parts.flags,
        arguments,
        heredocs: Vec::new(),
        original: line.to_owned(),
        lines: Lines::one(1),
        comments: Vec::new(),
    }
}
