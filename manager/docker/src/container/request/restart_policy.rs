//! `RestartPolicy`: when a container that has ended is started again.

use serde::Deserialize;
use tare_core::container::RestartPolicy;

use crate::error::{Error, Result};

/// Docker's `RestartPolicy`. An empty name means that nothing is said.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct RestartBody {
    name: Option<String>,
    maximum_retry_count: Option<i64>,
}

impl RestartBody {
    /// The policy, if one is named.
    pub(super) fn into_domain(self) -> Result<Option<RestartPolicy>> {
        let count = self.maximum_retry_count.unwrap_or_default();
        let policy = match self.name.as_deref().unwrap_or_default() {
            "" => return Ok(None),
            "no" => RestartPolicy::No,
            "always" => RestartPolicy::Always,
            "unless-stopped" => RestartPolicy::UnlessStopped,
            "on-failure" => {
                let maximum_retries = u32::try_from(count).map_err(|_| {
                    Error::invalid("invalid restart policy: maximum retry count cannot be negative")
                })?;
                return Ok(Some(RestartPolicy::OnFailure { maximum_retries }));
            }
            other => {
                return Err(Error::invalid(format!(
                    "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', \
                     'on-failure', or 'unless-stopped'"
                )));
            }
        };
        match count {
            0 => Ok(Some(policy)),
            1.. => Err(Error::invalid(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'",
            )),
            _ => Err(Error::invalid(
                "invalid restart policy: maximum retry count can only be used with 'on-failure' \
                 and cannot be negative",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<RestartPolicy>> {
        serde_json::from_str::<RestartBody>(json).unwrap().into_domain()
    }

    #[test]
    fn a_count_is_for_failures_only() {
        let policy = read(r#"{"Name":"on-failure","MaximumRetryCount":3}"#).unwrap();
        assert_eq!(policy, Some(RestartPolicy::OnFailure { maximum_retries: 3 }));
        assert_eq!(read(r#"{"Name":"","MaximumRetryCount":3}"#).unwrap(), None);
        let refused = |json| read(json).unwrap_err().to_string();
        let always = refused(r#"{"Name":"always","MaximumRetryCount":3}"#);
        assert!(always.ends_with("can only be used with 'on-failure'"), "{always}");
        let no = refused(r#"{"Name":"no","MaximumRetryCount":-1}"#);
        assert!(no.ends_with("and cannot be negative"), "{no}");
        assert!(refused(r#"{"Name":"sometimes"}"#).contains("unknown policy 'sometimes'"));
    }
}
