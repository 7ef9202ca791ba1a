//! A whole file.

use super::{Instruction, Stage, Step, from, read};
use crate::error::{Error, Result};
use crate::lint::{Finding, Linter};
use crate::syntax::{self, Keyword, Node};

/// The most instructions that a file may have.
const MOST_INSTRUCTIONS: usize = 10_000;
/// The most stages.
const MOST_STAGES: usize = 1_000;

/// A file that has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What can be set from outside for all of it: each ARG before the first FROM.
    pub arguments: Vec<Step>,
    /// Its stages, of which there is at least one.
    pub stages: Vec<Stage>,
    /// The character that escapes others.
    pub escape: char,
}

impl Dockerfile {
    /// Reads a file, and tells `linter` what it finds on the way.
    ///
    /// # Errors
    /// What can't be understood, with its lines.
    pub fn parse(source: &[u8], linter: &mut Linter) -> Result<Self> {
        if source.is_empty() {
            return Err(Error::new("the Dockerfile cannot be empty"));
        }
        let document = syntax::parse(source)?;
        for lines in &document.empty_continuations {
            linter.report(*lines, Finding::NoEmptyContinuation);
        }
        if let Some(node) = document.nodes.get(MOST_INSTRUCTIONS) {
            let expected =
                format!("a Dockerfile has no more than {MOST_INSTRUCTIONS} instructions");
            return Err(Error::new(expected).at(node.lines));
        }
        let mut file = Self { arguments: Vec::new(), stages: Vec::new(), escape: document.escape };
        for node in &document.nodes {
            file.take(node, linter)?;
        }
        if file.stages.is_empty() {
            return Err(Error::new("dockerfile contains no stages to build"));
        }
        Ok(file)
    }

    fn take(&mut self, node: &Node, linter: &mut Linter) -> Result<()> {
        let wrong = |error: Error| {
            let line = node.lines.first;
            error.during(format!("dockerfile parse error on line {line}")).at(node.lines)
        };
        if node.keyword() == Some(Keyword::From) {
            if self.stages.len() == MOST_STAGES {
                let expected = format!("a Dockerfile has no more than {MOST_STAGES} stages");
                return Err(Error::new(expected).at(node.lines));
            }
            self.stages.push(from::stage(node, linter).map_err(wrong)?);
            return Ok(());
        }
        let step = read::step(node, linter).map_err(wrong)?;
        match (self.stages.last_mut(), &step.instruction) {
            (Some(stage), _) => stage.steps.push(step),
            (None, Instruction::Arg(_)) => self.arguments.push(step),
            (None, _) => {
                return Err(Error::new("no build stage in current context").at(node.lines));
            }
        }
        Ok(())
    }
}
