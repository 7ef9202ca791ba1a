//! Takes the steps of a stage, one after the other.

use std::collections::BTreeSet;

use super::budget::Budget;
use super::dependency::Planned;
use super::graph::{Begin, Graph, StageId};
use super::operation::{Base, Beginning, Operation, PlannedStage, Work};
use super::options::Manner;
use super::state::{Running, State};
use super::title::Titles;
use crate::error::{Lines, Result};
use crate::image::Image;
use crate::instruction::{Instruction, Step};
use crate::lint::Finding;
use crate::platform::Platform;
use crate::shell::Environment;

/// A stage that has been taken, and what others that begin with it get.
pub(super) struct Taken {
    pub(super) stage: PlannedStage,
    pub(super) state: State,
}

impl Graph {
    /// Takes a stage. Those that it begins with are there already.
    pub(super) fn take_stage(
        &mut self,
        id: StageId,
        inherited: Option<State>,
        budget: &mut Budget,
        context_paths: &mut BTreeSet<String>,
    ) -> Result<Taken> {
        self.require_provided(id)?;
        let lines = self.nodes[id.0].lines;
        let state = match inherited {
            Some(mut state) => {
                // What it left has been taken before these steps.
                state.image.config.on_build.clear();
                state
            }
            None => State::begin(self.beginning(id)),
        };
        budget.take(state.weight()).map_err(|error| error.at(lines))?;
        let mut titles = self.titles(id);
        let base = self.base(id, &state, &mut titles);
        let steps = std::mem::take(&mut self.nodes[id.0].steps);
        let fresh = self.options.is_fresh(self.nodes[id.0].name.as_deref());
        let mut running = Running {
            id,
            label: &self.nodes[id.0].label,
            options: &self.options,
            global: &self.global.values,
            linter: &mut self.linter,
            budget,
            escape: self.escape,
            state,
            titles,
            context_paths,
            declared: self.declared,
            last_command: None,
            last_entrypoint: None,
            last_check: None,
        };
        running.state.open();
        running.open_as_classic();
        let mut operations = Vec::new();
        for planned in &steps {
            let done = running.take(planned).map_err(|error| error.at(planned.step.lines))?;
            operations.extend(done);
        }
        if id == self.target {
            running.note_labels()?;
        }
        let state = running.state;
        self.nodes[id.0].steps = steps;
        let label = self.nodes[id.0].label.clone();
        let platform = state.platform.clone();
        Ok(Taken { stage: PlannedStage { id, label, base, platform, operations, fresh }, state })
    }

    /// The configuration that a stage begins with that begins with no other.
    fn beginning(&mut self, id: StageId) -> Beginning {
        let node = &self.nodes[id.0];
        let asked = node.platform.clone();
        let platform = asked.clone().unwrap_or_else(|| self.options.platform().clone());
        let found = node.provided.as_ref().and_then(|provided| provided.image.clone());
        let Some(mut image) = found else {
            return match node.begins {
                // What is there in place of a stage is files alone.
                Begin::Replaced { .. } => {
                    Beginning { image: Image::default(), base_image: None, platform }
                }
                _ => {
                    let platform = match node.begins {
                        Begin::Nothing => self.options.platform().clone(),
                        _ => platform,
                    };
                    let mut image = Image::empty(&platform);
                    if self.options.manner == Manner::Classic {
                        image.config.working_dir.clear();
                    }
                    Beginning { image, base_image: None, platform }
                }
            };
        };
        let base_image = Some(image.clone());
        image.created = None;
        let platform = match (&node.begins, asked) {
            (Begin::Replaced { .. }, _) if !image.os.is_empty() => image.platform(),
            (Begin::Image(_), None) if self.options.target_platform.is_none() => {
                self.detected(&image, platform)
            }
            _ => platform,
        };
        if matches!(node.begins, Begin::Image(_)) && !image.has_no_layers() {
            let (lines, name) = (node.lines, node.written.clone());
            self.report_platform_of(&name, &image, &platform, lines);
        }
        image.config.on_build.clear();
        Beginning { image, base_image, platform }
    }

    /// The platform of an image that nobody has asked for a platform of.
    fn detected(&self, image: &Image, target: Platform) -> Platform {
        let fits = |platform: &Platform| {
            platform.os == image.os && platform.architecture == image.architecture
        };
        let here = &self.options.build_platform;
        if !fits(&target) && fits(here) { here.clone() } else { target }
    }

    fn report_platform_of(&mut self, name: &str, image: &Image, expected: &Platform, lines: Lines) {
        if expected.os == image.os && expected.architecture == image.architecture {
            return;
        }
        let finding = Finding::InvalidBaseImagePlatform {
            image: name.to_owned(),
            expected: expected.normal().to_string(),
            actual: image.platform().normal().to_string(),
        };
        self.linter.report(lines, finding);
    }

    fn titles(&self, id: StageId) -> Titles {
        let node = &self.nodes[id.0];
        let fetched = usize::from(!matches!(node.begins, Begin::Nothing | Begin::Stage(_)));
        // All that an image has left counts, whatever it is.
        let made = node.steps.iter().filter(|planned| {
            planned.triggered
                || matches!(
                    planned.step.instruction,
                    Instruction::Add(_)
                        | Instruction::Copy(_)
                        | Instruction::Run(_)
                        | Instruction::Workdir(_)
                )
        });
        Titles::new(&node.label, fetched + made.count(), &self.options)
    }

    fn base(&self, id: StageId, state: &State, titles: &mut Titles) -> Base {
        let node = &self.nodes[id.0];
        let provided = node.provided.as_ref();
        match &node.begins {
            Begin::Nothing => Base::Nothing,
            Begin::Stage(base) => Base::Stage(*base),
            Begin::Image(whole) => {
                let found = provided.and_then(|provided| provided.name.clone());
                let name = found.unwrap_or_else(|| whole.clone());
                // There is nothing in it that could be fetched.
                if state.base_image.as_ref().is_some_and(Image::has_no_layers) {
                    return Base::Nothing;
                }
                let text = format!("FROM {name}");
                let title = if id.0 < self.declared {
                    titles.next(&text, &state.platform, &Environment::default(), false)
                } else {
                    text
                };
                Base::Image { name, title }
            }
            Begin::Context { name, value } | Begin::Replaced { name, value } => {
                Base::Context { name: name.clone(), value: value.clone() }
            }
        }
    }
}

impl Running<'_> {
    fn take(&mut self, planned: &Planned) -> Result<Option<Operation>> {
        let step = &planned.step;
        let origins = planned.origins.as_deref().unwrap_or_default();
        let triggered = planned.triggered;
        let done: Option<(Work, String)> = match &step.instruction {
            Instruction::Run(run) => Some(self.run(step, run, origins, triggered)?),
            Instruction::Copy(copy) => {
                let origin = origins.first().copied().flatten();
                Some(self.copy(step, copy, origin, triggered)?)
            }
            Instruction::Add(add) => Some(self.add(step, add, triggered)?),
            Instruction::Workdir(path) => self.workdir(step, path, triggered)?,
            other => {
                self.set_up(step, other)?;
                None
            }
        };
        Ok(done.map(|(work, title)| Operation {
            work,
            title,
            source: step.source.clone(),
            lines: step.lines,
        }))
    }

    fn set_up(&mut self, step: &Step, setting: &Instruction) -> Result<()> {
        match setting {
            Instruction::Arg(arguments) => self.arg(step, arguments),
            Instruction::Cmd(command) => self.cmd(step, command),
            Instruction::Entrypoint(command) => self.entrypoint(step, command),
            Instruction::Env(variables) => self.env(step, variables),
            Instruction::Expose(ports) => self.expose(step, ports),
            Instruction::Healthcheck(check) => self.healthcheck(step, check),
            Instruction::Label(labels) => self.label(step, labels),
            Instruction::Maintainer(name) => self.maintainer(name),
            Instruction::Onbuild(text) => {
                self.state.image.config.on_build.push(text.clone());
                self.note_trigger(text)
            }
            Instruction::Shell(words) => self.shell(words),
            Instruction::Stopsignal(signal) => self.stop_signal(step, signal),
            Instruction::User(user) => self.user(step, user),
            Instruction::Volume(volumes) => self.volume(step, volumes),
            Instruction::Add(_)
            | Instruction::Copy(_)
            | Instruction::Run(_)
            | Instruction::Workdir(_) => Ok(()),
        }
    }
}
