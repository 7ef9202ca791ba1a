//! What stages begin with: asked for, and told.

use super::dependency::{self, Planned};
use super::graph::{Begin, Graph, StageId};
use crate::error::{Error, Lines, Result};
use crate::image::Image;
use crate::instruction::{Instruction, trigger_step};
use crate::platform::Platform;

/// Something that has to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// For which stage.
    pub stage: StageId,
    /// The image, or what the context is.
    pub name: String,
    /// The image as it is written.
    pub written: String,
    /// The name of the context, if it is one.
    pub context: Option<String>,
    /// For which platform.
    pub platform: Platform,
    /// Where it is asked for.
    pub lines: Lines,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Provided {
    /// The configuration of the image; contexts may have none.
    pub image: Option<Image>,
    /// Its name with its digest, if it has one.
    pub name: Option<String>,
}

impl Graph {
    /// What has to be told before there can be a plan. Told of that, it may ask for more: images
    /// leave instructions that need others.
    ///
    /// # Errors
    /// What images have left can't be understood.
    pub fn wanted(&mut self) -> Result<Vec<Wanted>> {
        loop {
            let needed = self.needed();
            let wanted: Vec<Wanted> =
                needed.iter().filter_map(|stage| self.wanted_for(*stage)).collect();
            if !wanted.is_empty() {
                return Ok(wanted);
            }
            let ready: Vec<StageId> =
                needed.into_iter().filter(|stage| !self.nodes[stage.0].triggered).collect();
            if ready.is_empty() {
                return Ok(wanted);
            }
            for stage in ready {
                self.take_triggers(stage)?;
            }
            dependency::require_no_cycle(&self.nodes)?;
        }
    }

    fn wanted_for(&self, stage: StageId) -> Option<Wanted> {
        let node = &self.nodes[stage.0];
        if node.provided.is_some() {
            return None;
        }
        let (name, context) = match &node.begins {
            Begin::Nothing | Begin::Stage(_) => return None,
            Begin::Image(whole) => (whole.clone(), None),
            Begin::Context { name, value } | Begin::Replaced { name, value } => {
                (value.clone(), Some(name.clone()))
            }
        };
        let platform = node.platform.as_ref().unwrap_or_else(|| self.options.platform()).clone();
        let (written, lines) = (node.written.clone(), node.lines);
        Some(Wanted { stage, name, written, context, platform, lines })
    }

    /// Tells what a stage begins with.
    pub fn provide(&mut self, stage: StageId, provided: Provided) {
        if let Some(node) = self.nodes.get_mut(stage.0) {
            node.provided = Some(provided);
        }
    }

    /// Puts the instructions before a stage's own that what it begins with has left.
    fn take_triggers(&mut self, id: StageId) -> Result<()> {
        let node = &self.nodes[id.0];
        let lines = node.lines;
        let triggers: Vec<String> = match &node.begins {
            Begin::Stage(base) => {
                let steps = &self.nodes[base.0].steps;
                let triggers = steps.iter().filter_map(|planned| match &planned.step.instruction {
                    Instruction::Onbuild(text) => Some(text.clone()),
                    _ => None,
                });
                triggers.collect()
            }
            Begin::Nothing | Begin::Replaced { .. } => Vec::new(),
            Begin::Image(_) | Begin::Context { .. } => {
                let image = node.provided.as_ref().and_then(|provided| provided.image.as_ref());
                image.map(|image| image.config.on_build.clone()).unwrap_or_default()
            }
        };
        let mut steps = Vec::with_capacity(triggers.len());
        for text in triggers {
            let step = trigger_step(&text, lines)?;
            steps.push(Planned { triggered: true, ..Planned::new(step) });
        }
        let node = &mut self.nodes[id.0];
        node.triggered = true;
        steps.append(&mut node.steps);
        node.steps = steps;
        self.find_needs(id).map_err(|error| error.moved_to(lines))
    }

    /// The stage has been told what it begins with.
    pub(super) fn require_provided(&self, id: StageId) -> Result<()> {
        match self.wanted_for(id) {
            None => Ok(()),
            Some(wanted) => {
                Err(Error::new(format!("{} has not been looked up", wanted.name)).at(wanted.lines))
            }
        }
    }
}
