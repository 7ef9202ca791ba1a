//! How a container is asked whether it is well.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::instruction::Check;
use crate::text::{duration, quote};

/// A health check; times are in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "they are those of an instruction")]
pub struct Health {
    #[serde(deserialize_with = "super::nothing", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

impl From<&Check> for Health {
    fn from(check: &Check) -> Self {
        Self {
            test: check.test.clone(),
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries.into(),
        }
    }
}

impl Health {
    /// As it stands in the history of builds without `BuildKit`.
    pub(crate) fn plain(&self) -> String {
        format!(
            "&{{[{}] {} {} {} {} {}}}",
            self.test.join(" "),
            duration::format(self.interval),
            duration::format(self.timeout),
            duration::format(self.start_period),
            duration::format(self.start_interval),
            self.retries
        )
    }
}

/// As it stands in the history: all of it in quotes, even the number.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "&{{{} \"{}\" \"{}\" \"{}\" \"{}\" {}}}",
            quote::quoted_list(&self.test),
            duration::format(self.interval),
            duration::format(self.timeout),
            duration::format(self.start_period),
            duration::format(self.start_interval),
            quote::quoted_number(self.retries)
        )
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "this is how serde calls it")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}
