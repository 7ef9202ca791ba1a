//! What the steps of a stage need: other stages, and images and contexts that are only copied from.

use super::dependency::Planned;
use super::graph::{Graph, Node, StageId};
use crate::error::{Error, Lines, Result};
use crate::instruction::Instruction;
use crate::shell::{Environment, Expansion};

/// The most stages, images and contexts that there may be.
const MOST_NODES: usize = 2_000;

impl Graph {
    /// Finds what the steps of a stage need.
    pub(super) fn find_needs(&mut self, id: StageId) -> Result<()> {
        let mut steps = std::mem::take(&mut self.nodes[id.0].steps);
        for planned in steps.iter_mut().filter(|planned| planned.origins.is_none()) {
            let lines = planned.step.lines;
            let origins = self.origins(planned).map_err(|error| error.at(lines))?;
            let needs = origins.iter().flatten().map(|origin| (*origin, lines));
            self.nodes[id.0].needs.extend(needs);
            planned.origins = Some(origins);
        }
        self.nodes[id.0].steps = steps;
        Ok(())
    }

    /// What a step copies or mounts from, in order; none where that is the context.
    fn origins(&mut self, planned: &Planned) -> Result<Vec<Option<StageId>>> {
        match &planned.step.instruction {
            Instruction::Copy(copy) => match &copy.from {
                Some(from) => Ok(vec![Some(self.copied_from(from, planned.step.lines)?)]),
                None => Ok(vec![None]),
            },
            Instruction::Run(run) => {
                let lines = planned.step.lines;
                let mounts = run.mounts.iter().map(|mount| match &mount.from {
                    Some(from) => self.by_name(from, lines).map(Some),
                    None => Ok(None),
                });
                mounts.collect()
            }
            _ => Ok(Vec::new()),
        }
    }

    fn copied_from(&mut self, from: &str, lines: Lines) -> Result<StageId> {
        let expanded = Expansion::new(self.escape).expand(from, &Environment::default())?;
        if expanded.text != from {
            return Err(Error::new(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
            ));
        }
        match from.parse::<i64>() {
            Ok(place) => usize::try_from(place)
                .ok()
                .filter(|place| *place < self.declared)
                .map(StageId)
                .ok_or_else(|| Error::new(format!("invalid stage index {place}"))),
            Err(_) => self.by_name(from, lines),
        }
    }

    /// A stage, or an image or a context that nothing is done in.
    fn by_name(&mut self, name: &str, lines: Lines) -> Result<StageId> {
        let known = self.names.get(&name.to_lowercase()).or_else(|| self.others.get(name));
        if let Some(known) = known {
            return Ok(*known);
        }
        let begins = self.begin(name, None)?;
        if self.nodes.len() == MOST_NODES {
            let expected =
                format!("a Dockerfile names no more than {MOST_NODES} stages and images");
            return Err(Error::new(expected));
        }
        let id = StageId(self.nodes.len());
        self.nodes.push(Node {
            label: String::new(),
            name: None,
            written: name.to_owned(),
            begins,
            platform: None,
            lines,
            steps: Vec::new(),
            needs: Vec::new(),
            provided: None,
            triggered: true,
        });
        self.others.insert(name.to_owned(), id);
        Ok(id)
    }
}
