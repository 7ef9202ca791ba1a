//! `tared check`: one line for each thing that containers need of this machine.

use std::process::ExitCode;

use serde_json::json;
use tare_core::config::Config;
use tare_core::host::{Finding, Verdict};

use crate::options::Format;

/// Prints what was found; success means that containers can run.
pub(crate) fn check(config: &Config, format: Format) -> ExitCode {
    let findings = tare_core::host::check(config);
    match format {
        Format::Text => findings.iter().for_each(|finding| println!("{}", line(finding))),
        Format::Json => {
            let array: Vec<_> = findings.iter().map(object).collect();
            println!("{:#}", json!(array));
        }
    }
    if findings.iter().any(|finding| finding.verdict == Verdict::Missing) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn line(finding: &Finding) -> String {
    format!("{:8} {}: {}", word(finding.verdict), finding.what, finding.detail)
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
