//! Where a stage has come to.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::arguments::{Declared, NO_VARIABLES};
use super::budget::Budget;
use super::graph::StageId;
use super::operation::Beginning;
use super::options::Options;
use super::title::Titles;
use crate::error::{Lines, Result};
use crate::image::Image;
use crate::instruction::Step;
use crate::lint::{Finding, Linter};
use crate::platform::Platform;
use crate::shell::{self, Environment, Expanded, Expansion};
use crate::text::{path, suggest};

/// What a stage hands on to those that begin with it.
#[derive(Clone)]
pub(super) struct State {
    pub(super) image: Image,
    pub(super) base_image: Option<Image>,
    pub(super) platform: Platform,
    /// The variables of commands: those of the image, and arguments.
    pub(super) variables: Environment,
    /// The arguments that have been declared, with their values then.
    pub(super) arguments: Declared,
    /// A WORKDIR has been there.
    pub(super) has_directory: bool,
    /// The variables, as commands have got them.
    shared: Option<Arc<Vec<(String, String)>>>,
}

impl State {
    pub(super) fn begin(beginning: Beginning) -> Self {
        let Beginning { image, base_image, platform } = beginning;
        Self {
            image,
            base_image,
            platform,
            variables: Environment::default(),
            arguments: Declared::default(),
            has_directory: false,
            shared: None,
        }
    }

    /// Begins the steps of a stage: commands have the variables of the image, whatever arguments
    /// said before.
    pub(super) fn open(&mut self) {
        self.image.config.ensure_path();
        for entry in &self.image.config.env {
            let (name, value) = shell::split(entry);
            self.variables.set(name, value);
        }
        self.shared = None;
        if self.image.config.working_dir.is_empty() {
            return;
        }
        self.image.config.working_dir = path::absolute("/", &self.image.config.working_dir);
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.variables.set(name, value);
        self.shared = None;
    }

    /// The variables for a command.
    pub(super) fn environment(
        &mut self,
        budget: &mut Budget,
    ) -> Result<Arc<Vec<(String, String)>>> {
        if let Some(shared) = &self.shared {
            return Ok(Arc::clone(shared));
        }
        let pairs = self.variables.pairs();
        budget.take(pairs.iter().map(|(name, value)| name.len() + value.len() + 64).sum())?;
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let shared = Arc::new(pairs.collect::<Vec<_>>());
        self.shared = Some(Arc::clone(&shared));
        Ok(shared)
    }

    /// The directory that commands run in.
    pub(super) fn directory(&self) -> &str {
        match self.image.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }

    /// How much memory a copy takes, about.
    pub(super) fn weight(&self) -> usize {
        let config = &self.image.config;
        let history = self.image.history.iter().map(|step| step.created_by.len() + 128);
        let env = config.env.iter().map(|entry| 2 * entry.len() + 128);
        let labels = config.labels.iter().map(|(name, value)| name.len() + value.len() + 128);
        let arguments =
            self.arguments.pairs().map(|(name, value)| 2 * name.len() + value.len() + 128);
        let paths = config.volumes.keys().chain(config.exposed_ports.keys());
        let paths = paths.map(|path| path.len() + 128);
        history.chain(env).chain(labels).chain(arguments).chain(paths).sum()
    }
}

/// A stage while its steps are taken.
pub(super) struct Running<'a> {
    pub(super) id: StageId,
    pub(super) label: &'a str,
    pub(super) options: &'a Options,
    pub(super) global: &'a Environment,
    pub(super) linter: &'a mut Linter,
    pub(super) budget: &'a mut Budget,
    pub(super) escape: char,
    pub(super) state: State,
    pub(super) titles: Titles,
    /// The paths of the context that are needed.
    pub(super) context_paths: &'a mut BTreeSet<String>,
    /// How many stages are in the file: others are there before all of them.
    pub(super) declared: usize,
    /// Instructions of which the last counts, where they have been.
    pub(super) last_command: Option<Lines>,
    pub(super) last_entrypoint: Option<Lines>,
    pub(super) last_check: Option<Lines>,
}

impl Running<'_> {
    /// Replaces the variables in a word of `step`.
    pub(super) fn expand(&mut self, step: &Step, word: &str) -> Result<String> {
        let words = Expansion::new(self.escape);
        self.expand_with(words, step, word).map(|expanded| expanded.text)
    }

    /// The same by other rules.
    pub(super) fn expand_with(
        &mut self,
        rules: Expansion,
        step: &Step,
        word: &str,
    ) -> Result<Expanded> {
        let expanded = rules.expand(word, &self.state.variables)?;
        self.budget.take(expanded.text.len())?;
        for name in &expanded.missing {
            let known = self.state.arguments.has(name) || NO_VARIABLES.contains(&name.as_str());
            if known || self.linter.is_full() {
                continue;
            }
            let meant = suggest::closest(name, self.state.variables.names()).map(str::to_owned);
            self.report(step, Finding::UndefinedVar { name: name.clone(), meant });
        }
        Ok(expanded)
    }

    pub(super) fn report(&mut self, step: &Step, finding: Finding) {
        self.linter.report_near(&step.comments, step.lines, finding);
    }

    /// What progress says of a step.
    pub(super) fn title(&mut self, text: &str, triggered: bool) -> String {
        self.titles.next(text, &self.state.platform, &self.state.variables, triggered)
    }

    /// A stage can only be copied from if it comes before.
    pub(super) fn is_before(&self, other: StageId) -> bool {
        other < self.id || other.0 >= self.declared
    }
}
