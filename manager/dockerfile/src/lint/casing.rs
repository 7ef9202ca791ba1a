//! How words are written: names of instructions and of stages.

use std::collections::HashSet;

use super::{Finding, Linter};
use crate::error::Lines;
use crate::instruction::Stage;

/// Names that mean something else already.
const RESERVED: [&str; 2] = ["context", "scratch"];

/// Names of stages are there once, and none that is taken.
pub(crate) fn stage_names(stages: &[Stage], linter: &mut Linter) {
    let mut seen = HashSet::new();
    for stage in stages {
        let Some(name) = &stage.name else { continue };
        if RESERVED.contains(&name.as_str()) {
            linter.report(stage.lines, Finding::ReservedStageName { stage: name.clone() });
        }
        if !seen.insert(name) {
            linter.report(stage.lines, Finding::DuplicateStageName { stage: name.clone() });
        }
    }
}

/// All instructions are written as most of them are.
pub(crate) fn instructions(stages: &[Stage], linter: &mut Linter) {
    let words: Vec<(&str, Lines)> = stages.iter().flat_map(words).collect();
    let (mut lower, mut upper) = (0, 0);
    for (word, _) in &words {
        if is_lower(word) {
            lower += 1;
        } else if is_upper(word) {
            upper += 1;
        }
    }
    let (fits, expected): (fn(&str) -> bool, _) =
        if lower > upper { (is_lower, "lowercase") } else { (is_upper, "uppercase") };
    for (word, lines) in words {
        if !fits(word) {
            let word = word.to_owned();
            linter.report(lines, Finding::ConsistentInstructionCasing { word, expected });
        }
    }
}

fn words(stage: &Stage) -> impl Iterator<Item = (&str, Lines)> {
    let steps = stage.steps.iter().map(|step| (step.word.as_str(), step.lines));
    std::iter::once((stage.word.as_str(), stage.lines)).chain(steps)
}

/// FROM and AS are written in the same way. A FROM in mixed case is somebody else's finding.
pub(crate) fn from_and_as(from: &str, keyword: &str) -> Option<Finding> {
    let fits = (is_lower(from) && is_lower(keyword))
        || (is_upper(from) && is_upper(keyword))
        || (!is_lower(from) && !is_upper(from));
    let finding = || Finding::FromAsCasing { from: from.to_owned(), keyword: keyword.to_owned() };
    (!fits).then(finding)
}

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}
