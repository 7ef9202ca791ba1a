//! Drivers of volumes: there is only `local`, and it takes no options.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Deserialize;

use crate::error::{Error, Result};

/// The name of the driver of all volumes.
pub(crate) const LOCAL: &str = "local";

/// The options that docker's driver of that name takes.
const OPTIONS: [&str; 4] = ["device", "o", "size", "type"];

/// A driver that a request asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Driver {
    pub(super) name: Option<String>,
    pub(super) options: Option<BTreeMap<String, String>>,
}

impl Driver {
    /// Refuses every driver but the one that there is, which is answered with the status `unknown`,
    /// and all options.
    pub(crate) fn check(&self, unknown: StatusCode) -> Result<()> {
        let name = self.name.as_deref().unwrap_or_default();
        if !matches!(name, "" | LOCAL) {
            return Err(Error::new(
                unknown,
                format!(
                    "error looking up volume plugin {name}: plugin \"{name}\" not found (this \
                     version of tared has the volume driver {LOCAL} alone)"
                ),
            ));
        }
        match self.options.iter().flatten().next() {
            None => Ok(()),
            Some((option, value)) if OPTIONS.contains(&option.as_str()) => {
                Err(Error::unsupported(format_args!("the volume option {option}={value}")))
            }
            Some((option, _)) => Err(Error::invalid(format!("invalid option: {option:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<()> {
        serde_json::from_str::<Driver>(json).unwrap().check(StatusCode::NOT_FOUND)
    }

    fn refused(json: &str) -> String {
        check(json).unwrap_err().to_string()
    }

    #[test]
    fn only_the_local_driver_is_taken() {
        for json in ["{}", r#"{"Name":""}"#, r#"{"Name":"local","Options":{}}"#] {
            check(json).unwrap();
        }
        assert!(refused(r#"{"Name":"nfs"}"#).contains("plugin \"nfs\" not found"));
    }

    #[test]
    fn options_are_refused_by_name() {
        let error = refused(r#"{"Options":{"type":"tmpfs"}}"#);
        assert!(error.starts_with("the volume option type=tmpfs is not supported"), "{error}");
        assert_eq!(refused(r#"{"Options":{"colour":"red"}}"#), "invalid option: \"colour\"");
    }
}
