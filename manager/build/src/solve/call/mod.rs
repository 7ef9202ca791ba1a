//! Questions about a Dockerfile, which are answered rather than that it is built: `docker build
//! --call`. An answer is JSON, and the same as text.

mod describe;
mod excerpt;
mod lint;
mod outline;
mod table;
mod targets;

use std::collections::BTreeMap;

use serde::Serialize;
use tare_dockerfile::Lines;

use super::build::Build;
use crate::error::{Error, Result};

/// The version of all these questions.
const VERSION: &str = "1.0.0";

/// What is answered.
type Answer = BTreeMap<String, Vec<u8>>;

/// Answers a question.
pub(super) async fn answer(build: &Build, question: &str) -> Result<Answer> {
    match question {
        "frontend.lint" => lint::lint(build).await,
        "frontend.outline" => outline::outline(build).await,
        "frontend.targets" => targets::targets(build),
        "frontend.subrequests.describe" => describe::describe(),
        other => Err(Error::unsupported(format!("the request {other}"))),
    }
}

/// Where something is, as `BuildKit` writes it.
#[derive(Debug, Clone, Default, Serialize)]
struct Location {
    ranges: Vec<Range>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Position {
    line: usize,
}

impl Location {
    /// Each of the lines is a range.
    fn of(lines: Lines) -> Self {
        let range = |line| Range { start: Position { line }, end: Position { line } };
        Self { ranges: (lines.first..=lines.last).map(range).collect() }
    }
}

fn told(json: &impl Serialize, text: String) -> Result<Answer> {
    let json = serde_json::to_vec_pretty(json)
        .map_err(|error| Error::system(format!("write an answer: {error}")))?;
    Ok(BTreeMap::from([
        ("result.json".to_owned(), json),
        ("result.txt".to_owned(), text.into_bytes()),
        ("version".to_owned(), VERSION.as_bytes().to_vec()),
    ]))
}
