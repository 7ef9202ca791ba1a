//! `--call=targets`: the stages that can be built.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tare_dockerfile::instruction::{Dockerfile, Stage};
use tare_dockerfile::lint::Linter;

use super::table::table;
use super::{Answer, Location, told};
use crate::error::Result;
use crate::solve::build::Build;

#[derive(Serialize)]
struct List {
    targets: Vec<Target>,
    sources: [String; 1],
}

#[derive(Serialize)]
struct Target {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    default: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    base: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    platform: String,
    location: Location,
}

/// The stages of the file.
pub(super) fn targets(build: &Build) -> Result<Answer> {
    let text = &build.definition.file.text;
    let file = Dockerfile::parse(text, &mut Linter::default());
    let file = file.map_err(|error| build.of_file(&error))?;
    let count = file.stages.len();
    let stages = file.stages.into_iter().enumerate();
    let targets: Vec<Target> =
        stages.map(|(index, stage)| target(stage, index + 1 == count)).collect();
    let mut rows = vec![vec!["TARGET".to_owned(), "DESCRIPTION".to_owned()]];
    rows.extend(targets.iter().map(|target| {
        let name = match (target.name.as_str(), target.default) {
            ("", true) => "(default)".to_owned(),
            (name, true) => format!("{name} (default)"),
            (name, false) => name.to_owned(),
        };
        vec![name, target.description.clone()]
    }));
    told(&List { targets, sources: [STANDARD.encode(text)] }, table(&rows, 1))
}

fn target(stage: Stage, default: bool) -> Target {
    Target {
        name: stage.name.unwrap_or_default(),
        default,
        description: stage.description.unwrap_or_default(),
        base: stage.base,
        platform: stage.platform.unwrap_or_default(),
        location: Location::of(stage.lines),
    }
}
