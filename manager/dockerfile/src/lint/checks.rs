//! Which checks are made: `skip=NAME,...;experimental=NAME,...;error=true`.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::Rule;
use crate::error::Error;
use crate::text::{boolean, quote::quoted};

/// Which checks are made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    skipped: Names,
    experimental: Names,
    errors: bool,
}

/// Some rules, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    All,
    These(BTreeSet<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Names {
    fn parse(text: &str) -> Self {
        match text.trim() {
            "all" => Self::All,
            names => Self::These(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    fn has(&self, rule: Rule) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(rule.name()),
        }
    }
}

impl Checks {
    pub(super) fn wants(&self, rule: Rule) -> bool {
        if rule.is_experimental() { self.experimental.has(rule) } else { !self.skipped.has(rule) }
    }

    /// The same where a comment says more: what it skips is skipped, too.
    pub(super) fn wants_beside(&self, rule: Rule, here: &Self) -> bool {
        if rule.is_experimental() {
            self.experimental.has(rule) || here.experimental.has(rule)
        } else {
            !self.skipped.has(rule) && !here.skipped.has(rule)
        }
    }

    pub(super) fn are_errors(&self) -> bool {
        self.errors
    }
}

impl FromStr for Checks {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut checks = Self::default();
        if text.trim().is_empty() {
            return Ok(checks);
        }
        for option in text.trim().splitn(3, ';') {
            let Some((name, value)) = option.split_once('=') else {
                return Err(Error::new(format!("invalid check option {}", quoted(option))));
            };
            match name.trim() {
                "skip" => checks.skipped = Names::parse(value),
                "experimental" => checks.experimental = Names::parse(value),
                "error" => {
                    checks.errors = boolean(value.trim()).ok_or_else(|| {
                        Error::new(format!(
                            "failed to parse check option {}: strconv.ParseBool: parsing {}: invalid syntax",
                            quoted(option),
                            quoted(value.trim())
                        ))
                    })?;
                }
                other => {
                    return Err(Error::new(format!("invalid check option {}", quoted(other))));
                }
            }
        }
        Ok(checks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_known_by_name() {
        let checks: Checks = " skip = all ; error = 1".parse().unwrap();
        assert!(checks.are_errors() && !checks.wants(Rule::DuplicateStageName));
        for (text, expected) in [
            ("skip", "invalid check option \"skip\""),
            ("what=1", "invalid check option \"what\""),
            (
                "error=maybe",
                "failed to parse check option \"error=maybe\": strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
        ] {
            assert_eq!(text.parse::<Checks>().unwrap_err().to_string(), expected);
        }
    }
}
