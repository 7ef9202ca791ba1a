//! ONBUILD, and what it has left in an image.

use super::{Instruction, Step, read};
use crate::error::{Error, Lines, Result};
use crate::lint::{Checks, Linter};
use crate::syntax::{self, Arguments, Keyword, Node};

/// The text of the instruction in an ONBUILD, with its documents.
pub(super) fn text(node: &Node) -> Result<String> {
    let Arguments::Trigger(trigger) = &node.arguments else {
        return Err(Error::new("ONBUILD requires at least one argument"));
    };
    match trigger.keyword() {
        Some(Keyword::Onbuild) => {
            let expected = "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed";
            return Err(Error::new(expected));
        }
        Some(keyword @ (Keyword::Maintainer | Keyword::From)) => {
            let name = keyword.name();
            return Err(Error::new(format!("{name} isn't allowed as an ONBUILD trigger")));
        }
        _ => {}
    }
    let line = node.original.trim_start();
    let mut text = line.get(node.word.len()..).unwrap_or_default().trim_start().to_owned();
    for heredoc in &node.heredocs {
        text.push('\n');
        text.push_str(&heredoc.content);
        text.push_str(&heredoc.name);
    }
    Ok(text)
}

/// Reads what an ONBUILD has left, for a stage in these lines.
pub(crate) fn step(text: &str, lines: Lines) -> Result<Step> {
    let read = || {
        let document = syntax::parse(text.as_bytes())?;
        let [node] = document.nodes.as_slice() else {
            return Err(Error::new("onbuild trigger should be a single expression"));
        };
        let mut step = read::step(node, &mut Linter::new(Checks::default()))?;
        step.lines = lines;
        match step.instruction {
            Instruction::Onbuild(_) | Instruction::Maintainer(_) => Err(Error::new(format!(
                "{} isn't allowed as an ONBUILD trigger",
                step.instruction.keyword().name()
            ))),
            _ => Ok(step),
        }
    };
    read().map_err(|error| error.moved_to(lines))
}
