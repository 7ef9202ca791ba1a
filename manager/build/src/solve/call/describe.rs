//! Which questions there are.

use serde::Serialize;

use super::table::table;
use super::{Answer, VERSION, told};
use crate::error::Result;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Question {
    name: &'static str,
    version: &'static str,
    r#type: &'static str,
    description: &'static str,
    opts: Vec<Named>,
    metadata: Vec<Named>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    name: &'static str,
    description: &'static str,
}

/// The questions.
pub(super) fn describe() -> Result<Answer> {
    let target = Named { name: "target", description: "Target build stage" };
    let questions = [
        question(
            "frontend.outline",
            "List all parameters current build target supports",
            vec![target],
            &["result.json", "result.txt"],
        ),
        question(
            "frontend.targets",
            "List all targets current build supports",
            Vec::new(),
            &["result.json", "result.txt"],
        ),
        question(
            "frontend.lint",
            "Lint a Dockerfile",
            Vec::new(),
            &["result.json", "result.txt", "result.statuscode"],
        ),
        question(
            "frontend.subrequests.describe",
            "List available subrequest types",
            Vec::new(),
            &["result.json", "result.txt"],
        ),
    ];
    let mut rows = vec![["NAME", "VERSION", "DESCRIPTION"].map(str::to_owned).to_vec()];
    rows.extend(questions.iter().map(|question| {
        let name = question.name.trim_start_matches("frontend.");
        [name, question.version, question.description].map(str::to_owned).to_vec()
    }));
    told(&questions, table(&rows, 1))
}

fn question(
    name: &'static str,
    description: &'static str,
    opts: Vec<Named>,
    answers: &[&'static str],
) -> Question {
    let metadata = answers.iter().map(|name| Named { name, description: "" }).collect();
    Question { name, version: VERSION, r#type: "rpc", description, opts, metadata }
}
