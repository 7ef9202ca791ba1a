//! All stages together.

use std::collections::{BTreeMap, BTreeSet};

use super::arguments;
use super::budget::Budget;
use super::graph::{Begin, Graph, StageId};
use super::operation::{Item, Operation, Origin, PlannedMountKind, PlannedStage, Work};
use super::state::State;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::lint::Warning;

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The stages that are needed, each after all that it needs.
    pub stages: Vec<PlannedStage>,
    /// The one whose files are wanted.
    pub target: StageId,
    /// The configuration of the image, without its layers.
    pub image: Image,
    /// The configuration of the image that it begins with, if there is one.
    pub base_image: Option<Image>,
    /// What of the context is needed.
    pub context: Context,
    /// Variables of all commands that are no part of the image.
    pub proxies: Vec<(String, String)>,
    /// What was found on the way.
    pub warnings: Vec<Warning>,
}

/// What of the context is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// Nothing.
    Nothing,
    /// What is at these paths, which may have wildcards.
    Paths(Vec<String>),
    /// All of it.
    Everything,
}

impl Graph {
    /// Says what is done, now that it is known what all stages begin with.
    ///
    /// # Errors
    /// What instructions ask for that can't be; and warnings, if the file wants them to be errors.
    pub fn plan(mut self) -> Result<Plan> {
        let needed = self.needed();
        let mut budget = Budget::new();
        let mut states: BTreeMap<StageId, State> = BTreeMap::new();
        let mut stages = Vec::with_capacity(needed.len());
        let mut paths = BTreeSet::new();
        // What is only copied from needs nothing, and comes first.
        let (declared, others): (Vec<_>, Vec<_>) =
            needed.into_iter().partition(|stage| stage.0 < self.declared);
        for id in others.into_iter().chain(declared) {
            let inherited = match self.nodes[id.0].begins {
                Begin::Stage(base) => states.get(&base).cloned(),
                _ => None,
            };
            let taken = self.take_stage(id, inherited, &mut budget, &mut paths)?;
            states.insert(id, taken.state);
            stages.push(taken.stage);
        }
        self.linter.verdict()?;
        let Some(state) = states.remove(&self.target) else {
            return Err(Error::new("the target is not among the stages"));
        };
        let context = context(&stages, paths);
        let proxies = arguments::proxies(&self.options);
        let image = self.finished(state.image);
        Ok(Plan {
            stages,
            target: self.target,
            image,
            base_image: state.base_image,
            context,
            proxies,
            warnings: self.linter.into_warnings(),
        })
    }

    fn finished(&self, mut image: Image) -> Image {
        image.config.labels.extend(self.options.labels.clone());
        if let Some(target) = &self.options.target_platform {
            let same = image.os == target.os && image.architecture == target.architecture;
            image.os.clone_from(&target.os);
            image.architecture.clone_from(&target.architecture);
            if !same || !target.variant.is_empty() {
                image.variant.clone_from(&target.variant);
            }
            if !same || !target.os_version.is_empty() {
                image.os_version.clone_from(&target.os_version);
            }
        }
        let platform = image.platform().normal();
        image.set_platform(&platform);
        image
    }
}

/// What of the context the operations need.
fn context(stages: &[PlannedStage], paths: BTreeSet<String>) -> Context {
    let mut operations = stages.iter().flat_map(|stage| &stage.operations);
    if !operations.any(uses_context) {
        return Context::Nothing;
    }
    if paths.contains("/") {
        return Context::Everything;
    }
    Context::Paths(paths.iter().map(|path| path.trim_start_matches('/').to_owned()).collect())
}

fn uses_context(operation: &Operation) -> bool {
    match &operation.work {
        Work::Copy(copying) => copying
            .items
            .iter()
            .any(|item| matches!(item, Item::Files { origin: Origin::Context, .. })),
        Work::Run(running) => running.mounts.iter().any(|mount| {
            matches!(mount.kind, PlannedMountKind::Bind { origin: Origin::Context, .. })
        }),
        Work::Make(_) => false,
    }
}
