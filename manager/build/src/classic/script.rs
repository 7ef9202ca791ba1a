//! The steps of a Dockerfile as docker's classic builder counts them, and what is done for each.

use std::collections::BTreeMap;

use tare_dockerfile::instruction::{Dockerfile, Instruction, Stage, Step};
use tare_dockerfile::plan::{Base, Operation, Plan, PlannedStage};

/// All steps, up to the end of the stage that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Script {
    pub(super) steps: Vec<Shown>,
}

/// A step as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// The instruction.
    pub(super) source: String,
    pub(super) act: Act,
}

/// What a step does, as far as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// It only names an argument of the file.
    Argument,
    /// It begins a stage.
    Begin {
        /// What is told of it.
        from: From,
        /// What its image has left to do, by the titles of these works.
        triggered: Vec<String>,
    },
    /// It only says something of the image.
    Set,
    /// It makes files.
    Work(Work),
    /// Nothing needs the stage that it is in.
    Skip,
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Nothing,
    /// The stage whose last step is this.
    Stage(usize),
    /// An image of this name.
    Image(String),
}

/// A step that makes files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Work {
    /// What progress calls it.
    pub(super) title: String,
    /// It is done in a container, as the classic builder sees it.
    pub(super) contained: bool,
}

impl Script {
    /// That of `file`, of which `plan` is done.
    pub(super) fn of(file: &Dockerfile, plan: &Plan, labels: &BTreeMap<String, String>) -> Self {
        let mut script = Self::default();
        for step in &file.arguments {
            script.show(&step.source, Act::Argument);
        }
        let mut ends = Vec::new();
        for (place, stage) in file.stages.iter().enumerate().take(plan.target.place() + 1) {
            match plan.stages.iter().find(|planned| planned.id.place() == place) {
                Some(planned) => script.stage(stage, planned, &ends),
                None => script.skipped(stage),
            }
            ends.push(script.steps.len().saturating_sub(1));
        }
        for (name, value) in labels {
            script.show(&format!("LABEL {name}={value}"), Act::Set);
        }
        script
    }

    /// `ends` are the last steps of the stages before.
    fn stage(&mut self, stage: &Stage, planned: &PlannedStage, ends: &[usize]) {
        let works = own_works(&stage.steps, &planned.operations);
        let own = works.iter().flatten().count();
        let triggered = planned.operations.len().saturating_sub(own);
        let titles = planned.operations.iter().take(triggered);
        let triggered = titles.map(|operation| operation.title.clone()).collect();
        let from = match &planned.base {
            Base::Stage(id) => ends.get(id.place()).map_or(From::Nothing, |end| From::Stage(*end)),
            Base::Image { name, .. } => From::Image(name.clone()),
            Base::Nothing | Base::Context { .. } => From::Nothing,
        };
        self.show(&stage.source, Act::Begin { from, triggered });
        for (step, work) in stage.steps.iter().zip(works) {
            let copies = matches!(step.instruction, Instruction::Copy(_) | Instruction::Add(_));
            let work = work.map(|operation| operation.title.clone());
            let act = work.map_or(Act::Set, |title| Act::Work(Work { title, contained: !copies }));
            self.show(&step.source, act);
        }
    }

    fn skipped(&mut self, stage: &Stage) {
        self.show(&stage.source, Act::Skip);
        for step in &stage.steps {
            self.show(&step.source, Act::Skip);
        }
    }

    fn show(&mut self, source: &str, act: Act) {
        self.steps.push(Shown { source: source.to_owned(), act });
    }

    /// The first work from the step `index` on in the same stage.
    pub(super) fn next_work(&self, index: usize) -> Option<&Work> {
        let rest = self.steps.get(index..)?.iter();
        let mut rest = rest.take_while(|step| !matches!(step.act, Act::Begin { .. } | Act::Skip));
        rest.find_map(|step| match &step.act {
            Act::Work(work) => Some(work),
            _ => None,
        })
    }
}

/// The operation of each step that has one. What an image has left to do comes before all of them.
fn own_works<'a>(steps: &[Step], operations: &'a [Operation]) -> Vec<Option<&'a Operation>> {
    let mut rest = operations;
    let mut works: Vec<_> = steps
        .iter()
        .rev()
        .map(|step| {
            let (last, before) = rest.split_last()?;
            let same = last.lines == step.lines && last.source == step.source;
            same.then(|| rest = before).map(|()| last)
        })
        .collect();
    works.reverse();
    works
}
