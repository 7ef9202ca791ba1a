//! `tared check`: one line for each thing that containers need of this machine.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;
use tare_core::config::Config;
use tare_core::host::{Finding, Verdict};

use crate::options::Format;

/// Prints what was found; success means that containers can run.
pub(crate) fn check(config: &Config, format: Format) -> ExitCode {
    let findings = tare_core::host::check(config);
    let text = match format {
        Format::Text => findings.iter().map(line).collect(),
        Format::Json => {
            let array: Vec<_> = findings.iter().map(object).collect();
            format!("{:#}\n", json!(array))
        }
    };
    // A reader who has seen enough (`tared check | head -1`) changes nothing of what was found.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if findings.iter().any(|finding| finding.verdict == Verdict::Missing) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn line(finding: &Finding) -> String {
    format!("{:8} {}: {}\n", word(finding.verdict), finding.what, finding.detail)
}

fn object(finding: &Finding) -> serde_json::Value {
    json!({
        "need": finding.what,
        "verdict": word(finding.verdict),
        "detail": finding.detail,
    })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Limited => "limited",
        Verdict::Missing => "missing",
    }
}
