//! Warnings about what works, and is no good idea: `BuildKit`'s build checks, by its names, in its
//! words and with its addresses.

mod casing;
mod checks;
mod finding;
mod rule;
mod secret;

pub(crate) use casing::{from_and_as, instructions as instruction_casing, stage_names};
pub use checks::Checks;
pub use finding::Finding;
pub use rule::Rule;
pub(crate) use secret::looks_secret;

use crate::error::{Error, Lines, Result};
use crate::syntax::{Directive, directive_of_comment};

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is.
    pub finding: Finding,
    /// Where it is.
    pub lines: Lines,
}

impl Warning {
    /// The warning in one line, as the progress of a build shows it.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}: {} (line {})", self.finding.rule().name(), self.finding, self.lines.first)
    }
}

/// Collects what is found, and leaves out what nobody wants to know.
#[derive(Debug, Clone, Default)]
pub struct Linter {
    checks: Checks,
    warnings: Vec<Warning>,
    /// How many findings there were, of all kinds.
    findings: usize,
}

/// Nobody reads more; finding them would take longer than the build.
const MOST_FINDINGS: usize = 1_000;

impl Linter {
    /// Makes these checks.
    #[must_use]
    pub fn new(checks: Checks) -> Self {
        Self { checks, warnings: Vec::new(), findings: 0 }
    }

    /// Takes note of what was found.
    pub(crate) fn report(&mut self, lines: Lines, finding: Finding) {
        self.report_near(&[], lines, finding);
    }

    /// The same, at an instruction before which there are comments; one may say that it is as it
    /// should be.
    pub(crate) fn report_near(&mut self, comments: &[String], lines: Lines, finding: Finding) {
        if self.is_full() {
            return;
        }
        self.findings += 1;
        let rule = finding.rule();
        let said = comments.iter().find_map(|comment| match directive_of_comment(comment)? {
            Directive::Check(value) => Some(value),
            Directive::Escape(_) | Directive::Syntax(_) => None,
        });
        let here = said.and_then(|value| {
            let value = value.split(' ').next().unwrap_or_default();
            value.parse::<Checks>().ok()
        });
        let wanted = match &here {
            Some(here) => self.checks.wants_beside(rule, here),
            None => self.checks.wants(rule),
        };
        if wanted {
            self.warnings.push(Warning { finding, lines });
        }
    }

    /// Whether nothing else will be reported.
    pub(crate) fn is_full(&self) -> bool {
        self.findings == MOST_FINDINGS
    }

    /// What was found, in the order in which it was.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Gives away what was found.
    #[must_use]
    pub fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }

    /// Makes sure that nothing was found, if the file asks for that.
    pub(crate) fn verdict(&self) -> Result<()> {
        if !self.checks.are_errors() || self.warnings.is_empty() {
            return Ok(());
        }
        let mut rules: Vec<&str> =
            self.warnings.iter().map(|warning| warning.finding.rule().name()).collect();
        rules.sort_unstable();
        rules.dedup();
        Err(Error::new(format!("lint violation found for rules: {}", rules.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(checks: &str, comments: &[&str]) -> Linter {
        let mut linter = Linter::new(checks.parse().unwrap());
        let comments: Vec<String> = comments.iter().map(|text| (*text).to_owned()).collect();
        linter.report_near(&comments, Lines::one(3), Finding::MaintainerDeprecated);
        let experimental =
            Finding::InvalidDefinitionDescription { instruction: "ARG".into(), name: "x".into() };
        linter.report_near(&comments, Lines::one(4), experimental);
        linter
    }

    #[test]
    fn what_is_skipped_is_not_reported() {
        for (checks, comments, expected) in [
            ("", &[][..], &["MaintainerDeprecated"][..]),
            ("skip=all", &[], &[]),
            ("skip=JSONArgsRecommended, MaintainerDeprecated", &[], &[]),
            ("", &["why", "check=skip=MaintainerDeprecated # because"], &[]),
            ("", &["check=skip=all"], &[]),
            ("", &["check=nonsense"], &["MaintainerDeprecated"]),
            ("skip=all;experimental=all", &[], &["InvalidDefinitionDescription"]),
            (
                "experimental=InvalidDefinitionDescription",
                &[],
                &["MaintainerDeprecated", "InvalidDefinitionDescription"],
            ),
        ] {
            let found: Vec<&str> = report(checks, comments)
                .warnings()
                .iter()
                .map(|warning| warning.finding.rule().name())
                .collect();
            assert_eq!(found, expected, "{checks} {comments:?}");
        }
    }

    #[test]
    fn warnings_can_be_errors() {
        assert!(report("", &[]).verdict().is_ok());
        assert!(report("error=true;skip=all", &[]).verdict().is_ok());
        let error = report("error=true;experimental=all", &[]).verdict().unwrap_err();
        assert_eq!(
            error.to_string(),
            "lint violation found for rules: InvalidDefinitionDescription, MaintainerDeprecated"
        );
        assert_eq!(
            report("", &[]).warnings()[0].short(),
            "MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 3)"
        );
    }
}
