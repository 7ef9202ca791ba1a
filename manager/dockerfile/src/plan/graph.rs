//! The stages of a file, and the images that they copy from.

use std::collections::HashMap;

use super::arguments::{self, Global};
use super::base::Provided;
use super::dependency::{self, Planned};
use super::options::Options;
use crate::error::{Error, Lines, Result};
use crate::ignore::Matcher;
use crate::instruction::{Dockerfile, Stage};
use crate::lint::{self, Finding, Linter};
use crate::platform::Platform;
use crate::shell::{Expanded, Expansion};
use crate::text::quote::quoted;

/// What a stage that begins with nothing begins with.
const NOTHING: &str = "scratch";

/// A stage, by its place in the file. Images that are only copied from come after all stages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(pub(super) usize);

impl StageId {
    /// Its place in the file, from zero; those that are not in it come after all that are.
    #[must_use]
    pub fn place(self) -> usize {
        self.0
    }
}

/// The stages that there are.
pub struct Graph {
    pub(super) options: Options,
    pub(super) linter: Linter,
    pub(super) global: Global,
    pub(super) escape: char,
    pub(super) nodes: Vec<Node>,
    /// How many of them are in the file.
    pub(super) declared: usize,
    /// Stages by name; of those with the same name, the last.
    pub(super) names: HashMap<String, StageId>,
    /// What is only copied from, by its name.
    pub(super) others: HashMap<String, StageId>,
    pub(super) target: StageId,
}

/// A stage, and what is known of it.
pub(super) struct Node {
    /// What progress calls it; nothing, if it is the only one.
    pub(super) label: String,
    pub(super) name: Option<String>,
    /// What it begins with, as it is written.
    pub(super) written: String,
    pub(super) begins: Begin,
    pub(super) platform: Option<Platform>,
    pub(super) lines: Lines,
    pub(super) steps: Vec<Planned>,
    /// What it needs besides what it begins with, and where.
    pub(super) needs: Vec<(StageId, Lines)>,
    pub(super) provided: Option<Provided>,
    pub(super) triggered: bool,
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begin {
    Nothing,
    Stage(StageId),
    Image(String),
    /// A context, which its steps go on from.
    Context {
        name: String,
        value: String,
    },
    /// A context, which is there in its place.
    Replaced {
        name: String,
        value: String,
    },
}

impl Graph {
    /// Finds the stages of `file`, and what each needs.
    ///
    /// # Errors
    /// Names that mean nothing, stages that need themselves, and a target that isn't there.
    pub fn new(file: Dockerfile, options: Options, mut linter: Linter) -> Result<Self> {
        lint::stage_names(&file.stages, &mut linter);
        lint::instruction_casing(&file.stages, &mut linter);
        arguments::check_defaults(&file, &options, &mut linter);
        let global = Global::new(&file, &options)?;
        let declared = file.stages.len();
        let mut graph = Self {
            options,
            linter,
            global,
            escape: file.escape,
            nodes: Vec::new(),
            declared,
            names: HashMap::new(),
            others: HashMap::new(),
            target: StageId(declared.saturating_sub(1)),
        };
        for stage in file.stages {
            graph.add(stage)?;
        }
        graph.find_target()?;
        for index in 0..declared {
            graph.find_needs(StageId(index))?;
        }
        dependency::require_no_cycle(&graph.nodes)?;
        if let [only] = graph.nodes.as_mut_slice() {
            only.label.clear();
        }
        Ok(graph)
    }

    fn add(&mut self, stage: Stage) -> Result<()> {
        let id = StageId(self.nodes.len());
        let words = Expansion::new(self.escape);
        let base = words.expand(&stage.base, &self.global.values);
        let base = base.map_err(|error| error.at(stage.lines))?;
        self.global.report(&base, &stage.comments, stage.lines, &mut self.linter);
        if base.text.is_empty() {
            let expected = format!("base name ({}) should not be blank", stage.base);
            return Err(Error::new(expected).at(stage.lines));
        }
        let platform = self.platform(&stage).map_err(|error| error.at(stage.lines))?;
        let named = stage.name.as_deref();
        let replaced = named.and_then(|name| self.options.context(name, platform.as_ref()));
        let begins = match replaced {
            Some((name, value)) => Begin::Replaced { name, value },
            None => {
                self.begin(&base.text, platform.as_ref()).map_err(|error| error.at(stage.lines))?
            }
        };
        let steps = match begins {
            Begin::Replaced { .. } => Vec::new(),
            _ => stage.steps.into_iter().map(Planned::new).collect(),
        };
        self.nodes.push(Node {
            label: named.map_or_else(|| format!("stage-{}", id.0), str::to_owned),
            name: stage.name.clone(),
            written: base.text,
            begins,
            platform,
            lines: stage.lines,
            steps,
            needs: Vec::new(),
            provided: None,
            triggered: false,
        });
        if let Some(name) = stage.name {
            self.names.insert(name, id);
        }
        Ok(())
    }

    pub(super) fn begin(&self, base: &str, platform: Option<&Platform>) -> Result<Begin> {
        if let Some(stage) = self.names.get(base) {
            return Ok(Begin::Stage(*stage));
        }
        if base == NOTHING {
            return Ok(Begin::Nothing);
        }
        let whole = self.options.image(base)?;
        Ok(match self.options.context(&whole, platform) {
            Some((name, value)) => Begin::Context { name, value },
            None => Begin::Image(whole),
        })
    }

    /// The platform that a FROM asks for.
    fn platform(&mut self, stage: &Stage) -> Result<Option<Platform>> {
        let Some(written) = &stage.platform else { return Ok(None) };
        let words = Expansion::new(self.escape);
        let found = words
            .expand(written, &self.global.values)
            .map_err(|error| error.during("failed to process arguments for platform "))?;
        self.global.report(&found, &stage.comments, stage.lines, &mut self.linter);
        self.report_platform(stage, written, &found);
        let suggesting = |error: Error| {
            let known = self.global.values.names();
            found
                .missing
                .iter()
                .fold(error, |error, name| error.suggesting(name, known.iter().copied()))
        };
        if found.text.is_empty() {
            let expected = format!("empty platform value from expression {written}");
            return Err(suggesting(Error::new(expected)));
        }
        let platform =
            Platform::parse(&found.text, &self.options.build_platform).map_err(|error| {
                suggesting(error).during(format!("failed to parse platform {written}"))
            })?;
        Ok(Some(platform))
    }

    fn report_platform(&mut self, stage: &Stage, written: &str, found: &Expanded) {
        let target = self.global.values.get("TARGETPLATFORM");
        let only_target = found.used.iter().eq(["TARGETPLATFORM"]) && found.missing.is_empty();
        if only_target && target == Some(found.text.as_str()) {
            let finding = Finding::RedundantTargetPlatform { variable: written.to_owned() };
            self.linter.report_near(&stage.comments, stage.lines, finding);
        }
        if !found.used.is_empty() || !found.missing.is_empty() {
            return;
        }
        let Ok(platform) = Platform::parse(&found.text, &self.options.build_platform) else {
            return;
        };
        let name = stage.name.as_deref().unwrap_or_default();
        if !name.contains(&platform.os) && !name.contains(&platform.architecture) {
            let finding = Finding::FromPlatformFlagConstDisallowed { platform: found.text.clone() };
            self.linter.report_near(&stage.comments, stage.lines, finding);
        }
    }

    fn find_target(&mut self) -> Result<()> {
        let Some(target) = self.options.target.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        let names = self.nodes.iter().map(|node| node.label.as_str());
        let found = self.names.get(&target.to_lowercase()).copied();
        // A stage can be meant by its place as well.
        let by_place = || {
            let place: usize = target.parse().ok()?;
            (place < self.declared).then_some(StageId(place))
        };
        self.target = found.or_else(by_place).ok_or_else(|| {
            Error::new(format!("target stage {} could not be found", quoted(target)))
                .suggesting(target, names)
        })?;
        Ok(())
    }

    /// Says what is not in the context, where that is found out later than the options are.
    pub fn leave_out(&mut self, ignored: Matcher) {
        self.options.ignored = ignored;
    }

    /// What was found so far.
    #[must_use]
    pub fn warnings(&self) -> &[lint::Warning] {
        self.linter.warnings()
    }
}
