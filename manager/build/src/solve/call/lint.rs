//! `--check`: what is found about a file, whether it could be built or not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tare_dockerfile::Lines;
use tare_dockerfile::lint::Warning;

use super::excerpt::excerpt;
use super::{Answer, Location, told};
use crate::error::{Error, Result, SourceFile};
use crate::solve::build::Build;

#[derive(Serialize)]
struct Found<'a> {
    warnings: Option<Vec<FoundWarning>>,
    sources: [Source<'a>; 1],
    #[serde(rename = "buildError", skip_serializing_if = "Option::is_none")]
    error: Option<FoundError>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundWarning {
    rule_name: &'static str,
    description: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
    detail: String,
    location: Location,
    #[serde(skip)]
    lines: Lines,
}

#[derive(Serialize)]
struct Source<'a> {
    filename: &'a str,
    data: String,
    language: &'static str,
}

#[derive(Serialize)]
struct FoundError {
    message: String,
    location: Location,
}

/// Looks at all of a file, or at what its target needs.
pub(super) async fn lint(build: &Build) -> Result<Answer> {
    let platforms = build.request.platforms();
    let platform = platforms.first().and_then(Option::as_ref);
    let all = build.request.attrs.target.is_none();
    let (warnings, error) = build.findings(platform, all).await;
    let file = &build.definition.file;
    let warnings: Vec<FoundWarning> = warnings.iter().map(found).collect();
    let status = u8::from(!warnings.is_empty() || error.is_some());
    let text = {
        // The text is sorted; what is for programs is not.
        let mut sorted: Vec<&FoundWarning> = warnings.iter().collect();
        sorted.sort_by_key(|warning| warning.lines.first);
        sorted.into_iter().map(|warning| written(warning, file)).collect()
    };
    let source =
        Source { filename: &file.name, data: STANDARD.encode(&file.text), language: "Dockerfile" };
    let found = Found {
        warnings: Some(warnings).filter(|warnings| !warnings.is_empty()),
        sources: [source],
        error: error.map(failed),
    };
    let mut answer = told(&found, text)?;
    answer.insert("result.statuscode".to_owned(), status.to_string().into_bytes());
    Ok(answer)
}

fn found(warning: &Warning) -> FoundWarning {
    let rule = warning.finding.rule();
    FoundWarning {
        rule_name: rule.name(),
        description: rule.description(),
        url: rule.url().unwrap_or_default(),
        detail: warning.finding.to_string(),
        location: Location::of(warning.lines),
        lines: warning.lines,
    }
}

fn written(warning: &FoundWarning, file: &SourceFile) -> String {
    let mut text = format!("\nWARNING: {}", warning.rule_name);
    if !warning.url.is_empty() {
        text.push_str(&format!(" - {}", warning.url));
    }
    text.push_str(&format!("\n{}\n", warning.detail));
    text + &excerpt(file, warning.lines)
}

fn failed(error: Error) -> FoundError {
    let location = error.place.map(|place| Location::of(place.lines)).unwrap_or_default();
    FoundError { message: error.message, location }
}
