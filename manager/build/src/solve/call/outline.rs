//! `--call=outline`: what can be set for a target: arguments, secrets, agents.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tare_dockerfile::Lines;
use tare_dockerfile::instruction::{Argument, Dockerfile, Instruction, Stage, Step};
use tare_dockerfile::lint::Linter;
use tare_dockerfile::plan::{Plan, PlannedMountKind, Work};

use super::table::table;
use super::{Answer, Location, told};
use crate::error::Result;
use crate::solve::build::Build;
use crate::solve::planning::Planned;

#[derive(Serialize)]
struct Outline {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Arg>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Needed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh: Vec<Needed>,
    sources: [String; 1],
}

#[derive(Serialize)]
struct Arg {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    location: Location,
    #[serde(skip)]
    lines: Lines,
}

#[derive(Serialize)]
struct Needed {
    name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    location: Location,
}

/// What can be set for the target.
pub(super) async fn outline(build: &Build) -> Result<Answer> {
    let platforms = build.request.platforms();
    let Planned { plan, .. } = build.plan(platforms.first().and_then(Option::as_ref)).await?;
    let text = &build.definition.file.text;
    let file = Dockerfile::parse(text, &mut Linter::default());
    let file = file.map_err(|error| build.of_file(&error))?;
    let target = target(&file, build.request.attrs.target.as_deref());
    let (secrets, ssh) = needed(&plan);
    let outline = Outline {
        name: target.and_then(|stage| stage.name.clone()).unwrap_or_default(),
        description: target.and_then(|stage| stage.description.clone()).unwrap_or_default(),
        args: arguments(&file, &plan, &build.request.attrs.arguments),
        secrets,
        ssh,
        sources: [STANDARD.encode(text)],
    };
    let shown = written(&outline);
    told(&outline, shown)
}

fn target<'a>(file: &'a Dockerfile, name: Option<&str>) -> Option<&'a Stage> {
    let Some(name) = name else { return file.stages.last() };
    let named = |stage: &&Stage| {
        stage.name.as_deref().is_some_and(|other| other.eq_ignore_ascii_case(name))
    };
    file.stages.iter().rfind(named).or_else(|| file.stages.get(name.parse::<usize>().ok()?))
}

/// The arguments that something uses that the target needs, in their order.
fn arguments(file: &Dockerfile, plan: &Plan, given: &BTreeMap<String, String>) -> Vec<Arg> {
    let needed: BTreeSet<&str> = plan.stages.iter().map(|stage| stage.label.as_str()).collect();
    let stages: Vec<&Stage> = file
        .stages
        .iter()
        .enumerate()
        .filter(|(place, stage)| {
            let label = stage.name.clone().unwrap_or_else(|| format!("stage-{place}"));
            needed.contains(label.as_str()) || (file.stages.len() == 1 && needed.contains(""))
        })
        .map(|(_, stage)| stage)
        .collect();
    let mut args: Vec<Arg> = Vec::new();
    let mut texts: Vec<&str> = stages.iter().map(|stage| stage.source.as_str()).collect();
    for stage in &stages {
        for step in &stage.steps {
            match &step.instruction {
                Instruction::Arg(arguments) => {
                    arguments.iter().for_each(|argument| add(&mut args, argument, step, given));
                }
                _ => texts.push(&step.source),
            }
        }
    }
    let mut all: Vec<Arg> = Vec::new();
    for step in &file.arguments {
        if let Instruction::Arg(arguments) = &step.instruction {
            arguments.iter().for_each(|argument| add(&mut all, argument, step, given));
        }
    }
    // A stage that declares one without a value has that of the file.
    for arg in args {
        let known = all.iter().any(|other| other.name == arg.name);
        if !known || !arg.value.is_empty() {
            all.push(arg);
        }
    }
    let defaults: Vec<String> = all.iter().map(|arg| arg.value.clone()).collect();
    texts.extend(defaults.iter().map(String::as_str));
    all.retain(|arg| uses(&texts, &arg.name));
    all.sort_by_key(|arg| arg.lines.first);
    all
}

fn add(args: &mut Vec<Arg>, argument: &Argument, step: &Step, given: &BTreeMap<String, String>) {
    if args.iter().any(|arg| arg.name == argument.name) {
        return;
    }
    let value = given.get(&argument.name).or(argument.default.as_ref());
    args.push(Arg {
        name: argument.name.clone(),
        description: argument.description.clone().unwrap_or_default(),
        value: value.cloned().unwrap_or_default(),
        location: Location::of(step.lines),
        lines: step.lines,
    });
}

/// Whether one of the texts uses a variable.
fn uses(texts: &[&str], name: &str) -> bool {
    let in_text = |text: &&str| {
        let mut places = text.match_indices('$');
        places.any(|(at, _)| {
            let rest = &text[at + 1..];
            let rest = rest.strip_prefix('{').unwrap_or(rest);
            let after = rest.strip_prefix(name);
            after.is_some_and(|after| {
                !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            })
        })
    };
    texts.iter().any(in_text)
}

/// The secrets and agents that commands have.
fn needed(plan: &Plan) -> (Vec<Needed>, Vec<Needed>) {
    let (mut secrets, mut ssh): (Vec<Needed>, Vec<Needed>) = (Vec::new(), Vec::new());
    let mut operations: Vec<_> = plan.stages.iter().flat_map(|stage| &stage.operations).collect();
    operations.sort_by_key(|operation| operation.lines.first);
    for operation in operations {
        let Work::Run(running) = &operation.work else { continue };
        for mount in &running.mounts {
            let (list, id, required) = match &mount.kind {
                PlannedMountKind::Secret { id, required, .. } => (&mut secrets, id, *required),
                PlannedMountKind::Ssh { id, required, .. } => (&mut ssh, id, *required),
                PlannedMountKind::Bind { .. }
                | PlannedMountKind::Cache { .. }
                | PlannedMountKind::Tmpfs { .. } => continue,
            };
            match list.iter_mut().find(|known| known.name == *id) {
                Some(known) => known.required |= required,
                None => list.push(Needed {
                    name: id.clone(),
                    required,
                    location: Location::of(operation.lines),
                }),
            }
        }
    }
    (secrets, ssh)
}

fn written(outline: &Outline) -> String {
    let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
    let mut text = String::new();
    if !outline.name.is_empty() || !outline.description.is_empty() {
        let name = if outline.name.is_empty() { "(default)" } else { &outline.name };
        let mut rows = vec![row(&["TARGET:", name])];
        if !outline.description.is_empty() {
            rows.push(row(&["DESCRIPTION:", &outline.description]));
        }
        text.push_str(&(table(&rows, 1) + "\n"));
    }
    if !outline.args.is_empty() {
        let mut rows = vec![row(&["BUILD ARG", "VALUE", "DESCRIPTION"])];
        rows.extend(outline.args.iter().map(|arg| row(&[&arg.name, &arg.value, &arg.description])));
        text.push_str(&(table(&rows, 3) + "\n"));
    }
    for (title, list) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        if list.is_empty() {
            continue;
        }
        let mut rows = vec![row(&[title, "REQUIRED"])];
        rows.extend(
            list.iter()
                .map(|needed| row(&[&needed.name, if needed.required { "true" } else { "" }])),
        );
        text.push_str(&(table(&rows, 3) + "\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_in_both_forms() {
        for text in ["RUN echo $A", "FROM x:${A}", "RUN ${A:-b}", "$A/b"] {
            assert!(uses(&[text], "A"), "{text}");
        }
        for text in ["A", "$AB", "${B}", "$"] {
            assert!(!uses(&[text], "A"), "{text}");
        }
    }
}
