//! `HostConfig.Mounts`: what `--mount` sends.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Deserialize;
use tare_core::container::{MountKind, MountRequest};

use super::lenient::Unset;
use crate::error::{Error, Result};
use crate::volume::driver::Driver;

/// One mount.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct MountBody {
    r#type: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: Option<bool>,
    consistency: Option<String>,
    bind_options: Option<BindOptions>,
    volume_options: Option<VolumeOptions>,
    tmpfs_options: Option<TmpfsOptions>,
    image_options: Option<Unset>,
    cluster_options: Option<Unset>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
struct BindOptions {
    propagation: Option<String>,
    non_recursive: Option<bool>,
    create_mountpoint: Option<bool>,
    read_only_non_recursive: Option<bool>,
    read_only_force_recursive: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
struct VolumeOptions {
    no_copy: Option<bool>,
    labels: Option<BTreeMap<String, String>>,
    subpath: Option<Unset>,
    driver_config: Option<Driver>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
struct TmpfsOptions {
    size_bytes: Option<u64>,
    mode: Option<u32>,
    options: Option<Unset>,
}

impl MountBody {
    pub(super) fn into_domain(self) -> Result<MountRequest> {
        let kind = self.r#type.as_deref().unwrap_or_default();
        self.check_options(kind)?;
        // Consistency has a meaning on macOS only.
        match self.consistency.as_deref().unwrap_or_default() {
            "" | "default" | "consistent" | "cached" | "delegated" => {}
            other => return Err(Error::invalid(format!("invalid mount consistency: {other}"))),
        }
        let source = self.source.filter(|source| !source.is_empty());
        let kind = match kind {
            "bind" => self.bind_options.unwrap_or_default().into_domain(source)?,
            "volume" => {
                let options = self.volume_options.unwrap_or_default();
                // Clients take "not found" here for a missing image.
                options.driver_config.unwrap_or_default().check(StatusCode::BAD_REQUEST)?;
                MountKind::Volume {
                    name: source,
                    no_copy: options.no_copy.unwrap_or_default(),
                    labels: options.labels.unwrap_or_default(),
                }
            }
            "tmpfs" if source.is_some() => {
                return Err(Error::invalid(
                    "invalid mount config for type \"tmpfs\": field Source must not be specified",
                ));
            }
            "tmpfs" => {
                let options = self.tmpfs_options.unwrap_or_default();
                let given = |number: &u64| *number > 0;
                MountKind::Tmpfs {
                    size: options.size_bytes.filter(given),
                    mode: options.mode.filter(|mode| *mode > 0),
                }
            }
            "image" | "npipe" | "cluster" => {
                return Err(Error::unsupported(format_args!("a mount of the type {kind}")));
            }
            other => return Err(Error::invalid(format!("mount type unknown: {other:?}"))),
        };
        let target = self.target.unwrap_or_default();
        if target.is_empty() {
            return Err(Error::invalid("invalid mount config: field Target must not be empty"));
        }
        Ok(MountRequest { target, read_only: self.read_only.unwrap_or_default(), kind })
    }

    /// Options of another type than the mount's own make no sense.
    fn check_options(&self, kind: &str) -> Result<()> {
        let misplaced = [
            ("bind", "BindOptions", self.bind_options.is_some()),
            ("volume", "VolumeOptions", self.volume_options.is_some()),
            ("tmpfs", "TmpfsOptions", self.tmpfs_options.is_some()),
        ];
        match misplaced.into_iter().find(|(owner, _, given)| *given && *owner != kind) {
            Some((_, options, _)) => Err(Error::invalid(format!(
                "{options} must not be specified on mount type {kind:?}"
            ))),
            None => Ok(()),
        }
    }
}

impl BindOptions {
    fn into_domain(self, source: Option<String>) -> Result<MountKind> {
        let Some(source) = source else {
            return Err(Error::invalid(
                "invalid mount config for type \"bind\": field Source must not be empty",
            ));
        };
        let propagation = self.propagation.filter(|text| !text.is_empty());
        Ok(MountKind::Bind {
            source,
            propagation: propagation.map(|text| text.parse()).transpose()?,
            non_recursive: self.non_recursive.unwrap_or_default(),
            create_source: self.create_mountpoint.unwrap_or_default(),
            read_only_non_recursive: self.read_only_non_recursive.unwrap_or_default(),
            read_only_force_recursive: self.read_only_force_recursive.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(json: &str) -> Result<MountRequest> {
        crate::body::parse::<MountBody>(json.as_bytes())?.into_domain()
    }

    #[test]
    fn options_belong_to_their_type() {
        let error = |json| mount(json).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"Type":"tmpfs","Target":"/x","BindOptions":{}}"#),
            "BindOptions must not be specified on mount type \"tmpfs\""
        );
        assert!(error(r#"{"Type":"bind","Target":"/x"}"#).contains("Source must not be empty"));
        assert!(error(r#"{"Type":"image","Source":"a","Target":"/x"}"#).contains("type image"));
        assert_eq!(error(r#"{"Type":"x","Target":"/x"}"#), "mount type unknown: \"x\"");
        let subpath = r#"{"Type":"volume","Target":"/x","VolumeOptions":{"Subpath":"a"}}"#;
        assert!(error(subpath).contains("VolumeOptions.Subpath: not supported"));
    }

    #[test]
    fn a_volume_without_a_name_is_a_new_one() {
        let volume = mount(r#"{"Type":"volume","Target":"/x"}"#).unwrap();
        assert_eq!(
            volume.kind,
            MountKind::Volume { name: None, no_copy: false, labels: BTreeMap::new() }
        );
    }
}
