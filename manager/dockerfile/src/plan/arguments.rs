//! Arguments that are there before the first stage.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::options::Options;
use crate::error::{Lines, Result};
use crate::instruction::{Dockerfile, Instruction};
use crate::lint::{Finding, Linter};
use crate::shell::{Environment, Expanded, Expansion};
use crate::text::suggest;

/// Arguments that are for the builder, and no variables of commands.
pub(super) const NO_VARIABLES: [&str; 2] =
    ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// The arguments that FROM can use.
pub(super) struct Global {
    pub(super) values: Environment,
    /// The names that are declared, with a value or without.
    declared: BTreeSet<String>,
}

/// The arguments that a stage has declared, each at the place where it first was.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    names: Vec<String>,
    values: HashMap<String, String>,
}

impl Declared {
    pub(super) fn declare(&mut self, name: &str, value: Option<String>) {
        let value = value.unwrap_or_default();
        if self.values.insert(name.to_owned(), value).is_none() {
            self.names.push(name.to_owned());
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// They, with the values that they were declared with last.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let value = |name: &String| self.values.get(name).map_or("", String::as_str);
        self.names.iter().map(move |name| (name.as_str(), value(name)))
    }
}

/// The platforms and the stage, as arguments.
fn automatic(options: &Options, target: &str) -> Environment {
    let (build, target_platform) = (&options.build_platform, options.platform());
    let target = if target.is_empty() { "default" } else { target };
    let values = [
        ("BUILDPLATFORM", build.short()),
        ("BUILDOS", build.os.clone()),
        ("BUILDOSVERSION", build.os_version.clone()),
        ("BUILDARCH", build.architecture.clone()),
        ("BUILDVARIANT", build.variant.clone()),
        ("TARGETPLATFORM", target_platform.to_string()),
        ("TARGETOS", target_platform.os.clone()),
        ("TARGETOSVERSION", target_platform.os_version.clone()),
        ("TARGETARCH", target_platform.architecture.clone()),
        ("TARGETVARIANT", target_platform.variant.clone()),
        ("TARGETSTAGE", target.to_owned()),
    ];
    let given = &options.arguments;
    values
        .into_iter()
        .map(|(name, value)| (name, given.get(name).cloned().unwrap_or(value)))
        .collect()
}

impl Global {
    pub(super) fn new(file: &Dockerfile, options: &Options) -> Result<Self> {
        Self::with(file, options, &options.arguments)
    }

    /// As they would be if nobody had set any.
    pub(super) fn defaults(file: &Dockerfile, options: &Options) -> Result<Self> {
        Self::with(file, options, &BTreeMap::new())
    }

    fn with(
        file: &Dockerfile,
        options: &Options,
        given: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let last = file.stages.last().and_then(|stage| stage.name.as_deref());
        let target = options.target.as_deref().or(last).unwrap_or_default();
        let mut values = automatic(options, target);
        let mut declared: BTreeSet<String> =
            values.names().into_iter().map(str::to_owned).collect();
        let words = Expansion::new(file.escape);
        for step in &file.arguments {
            let Instruction::Arg(arguments) = &step.instruction else { continue };
            for argument in arguments {
                declared.insert(argument.name.clone());
                let value = match (given.get(&argument.name), &argument.default) {
                    (Some(value), _) => Some(value.clone()),
                    (None, Some(default)) => {
                        let expanded = words.expand(default, &values);
                        Some(expanded.map_err(|error| error.at(step.lines))?.text)
                    }
                    (None, None) => None,
                };
                if let Some(value) = value {
                    values.set(argument.name.clone(), value);
                }
            }
        }
        Ok(Self { values, declared })
    }

    /// Reports variables of a FROM that nobody has declared.
    pub(super) fn report(
        &self,
        used: &Expanded,
        comments: &[String],
        lines: Lines,
        linter: &mut Linter,
    ) {
        for name in used.missing.iter().filter(|name| !self.declared.contains(*name)) {
            if linter.is_full() {
                return;
            }
            let options = self.declared.iter().map(String::as_str);
            let meant = suggest::closest(name, options).map(str::to_owned);
            let finding = Finding::UndefinedArgInFrom { name: name.clone(), meant };
            linter.report_near(comments, lines, finding);
        }
    }
}

/// Images that stages begin with have names even if no argument is set.
pub(super) fn check_defaults(file: &Dockerfile, options: &Options, linter: &mut Linter) {
    // What is wrong with the arguments is said where they are used.
    let Ok(global) = Global::defaults(file, options) else { return };
    let words = Expansion::new(file.escape);
    for stage in &file.stages {
        let Ok(base) = words.expand(&stage.base, &global.values) else { return };
        if (options.name_of)(&base.text).is_err() {
            let base = stage.base.clone();
            linter.report(stage.lines, Finding::InvalidDefaultArgInFrom { base });
        }
    }
}

/// The arguments that say how to get out: they need no ARG, and are no part of the image.
pub(super) fn proxies(options: &Options) -> Vec<(String, String)> {
    const NAMES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
    let found = options
        .arguments
        .iter()
        .filter(|(name, _)| NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)));
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in found {
        values.insert(name.to_uppercase(), value.clone());
        values.insert(name.to_lowercase(), value.clone());
    }
    values.into_iter().collect()
}
