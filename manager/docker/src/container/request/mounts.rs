//! `HostConfig.Mounts`: what `--mount` sends.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tare_core::container::{MountKind, MountRequest, VolumeMount};
use tare_core::volume::DriverConfig;

use crate::error::{Error, Result};
use crate::version::ApiVersion;
use crate::volume::driver::Driver;

/// Options that belong to another type than the mount's are refused since this version.
const EXCLUSIVE_SINCE: ApiVersion = ApiVersion::new(1, 42);

/// One mount.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct MountBody {
    r#type: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: Option<bool>,
    consistency: Option<String>,
    bind_options: Option<BindOptions>,
    volume_options: Option<VolumeOptions>,
    tmpfs_options: Option<TmpfsOptions>,
    image_options: Option<ImageOptions>,
    cluster_options: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct BindOptions {
    propagation: Option<String>,
    non_recursive: Option<bool>,
    create_mountpoint: Option<bool>,
    read_only_non_recursive: Option<bool>,
    read_only_force_recursive: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct VolumeOptions {
    no_copy: Option<bool>,
    labels: Option<BTreeMap<String, String>>,
    subpath: Option<String>,
    driver_config: Option<Driver>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TmpfsOptions {
    size_bytes: Option<u64>,
    mode: Option<u32>,
    options: Option<Vec<Vec<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ImageOptions {
    subpath: Option<String>,
}

impl MountBody {
    pub(super) fn into_domain(self, version: ApiVersion) -> Result<MountRequest> {
        let kind = self.r#type.clone().unwrap_or_default();
        self.check_options(&kind, version)?;
        let wrong =
            |what| Error::invalid(format!("invalid mount config for type \"{kind}\": {what}"));
        // Consistency has a meaning on macOS only.
        match self.consistency.as_deref().unwrap_or_default() {
            "" | "default" | "consistent" | "cached" | "delegated" => {}
            other => return Err(Error::invalid(format!("invalid mount consistency: {other}"))),
        }
        let source = self.source.unwrap_or_default();
        let read_only = self.read_only.unwrap_or_default();
        let domain = match kind.as_str() {
            "bind" => self.bind_options.unwrap_or_default().into_domain(source, version)?,
            "volume" => self.volume_options.unwrap_or_default().into_domain(source, version)?,
            "tmpfs" if !source.is_empty() => {
                return Err(wrong("field Source must not be specified"));
            }
            "tmpfs" => self.tmpfs_options.unwrap_or_default().into_domain(),
            "image" if version < ApiVersion::new(1, 48) => {
                return Err(Error::invalid("Mount type \"Image\" needs API v1.48 or newer"));
            }
            "image" => MountKind::Image {
                image: source,
                subpath: self.image_options.and_then(|options| given(options.subpath)),
            },
            _ => return Err(wrong("mount type unknown")),
        };
        Ok(MountRequest { target: self.target.unwrap_or_default(), read_only, kind: domain })
    }

    /// Whether it is a volume of which no driver is said.
    pub(super) fn is_volume_without_driver(&self) -> bool {
        let options = self.volume_options.as_ref();
        let driver = options.and_then(|options| options.driver_config.as_ref());
        self.r#type.as_deref() == Some("volume") && driver.is_none_or(Driver::is_unnamed)
    }

    /// Options of another type than the mount's own make no sense.
    fn check_options(&self, kind: &str, version: ApiVersion) -> Result<()> {
        let misplaced = [
            ("volume", "VolumeOptions", self.volume_options.is_some()),
            ("bind", "BindOptions", self.bind_options.is_some()),
            ("tmpfs", "TmpfsOptions", self.tmpfs_options.is_some()),
            ("image", "ImageOptions", self.image_options.is_some()),
            ("cluster", "ClusterOptions", self.cluster_options.is_some()),
        ];
        let mut misplaced = misplaced.into_iter();
        match misplaced.find(|(owner, _, given)| *given && *owner != kind) {
            // Older clients send them empty.
            Some(("volume" | "tmpfs", ..)) if version < EXCLUSIVE_SINCE => Ok(()),
            Some((_, options @ ("ImageOptions" | "ClusterOptions"), _)) => {
                Err(Error::invalid(format!(
                    "invalid mount config for type {kind:?}: field {options} must not be specified"
                )))
            }
            Some((_, options, _)) => Err(Error::invalid(format!(
                "{options} must not be specified on mount type {kind:?}"
            ))),
            None => Ok(()),
        }
    }
}

impl BindOptions {
    fn into_domain(self, source: String, version: ApiVersion) -> Result<MountKind> {
        let propagation = given(self.propagation).map(|text| {
            text.parse().map_err(|error: tare_core::Error| {
                Error::invalid(format!("invalid mount config for type \"bind\": {error}"))
            })
        });
        let force = self.read_only_force_recursive.unwrap_or_default();
        let reaches_down = version >= ApiVersion::new(1, 44);
        if force && !reaches_down {
            return Err(Error::invalid(
                "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer",
            ));
        }
        let since = |since, flag: Option<bool>| version >= since && flag.unwrap_or_default();
        Ok(MountKind::Bind {
            source,
            propagation: propagation.transpose()?,
            non_recursive: since(ApiVersion::new(1, 40), self.non_recursive),
            create_source: since(EXCLUSIVE_SINCE, self.create_mountpoint),
            read_only_non_recursive: self.read_only_non_recursive.unwrap_or_default(),
            read_only_force_recursive: force,
        })
    }
}

impl VolumeOptions {
    fn into_domain(self, source: String, version: ApiVersion) -> Result<MountKind> {
        let subpath = given(self.subpath);
        if subpath.is_some() && version < ApiVersion::new(1, 45) {
            return Err(Error::invalid("VolumeOptions.Subpath needs API v1.45 or newer"));
        }
        Ok(MountKind::Volume(VolumeMount {
            name: given(Some(source)),
            no_copy: self.no_copy.unwrap_or_default(),
            labels: self.labels.unwrap_or_default(),
            subpath,
            driver: self.driver_config.map(DriverConfig::from),
        }))
    }
}

impl TmpfsOptions {
    fn into_domain(self) -> MountKind {
        MountKind::Tmpfs {
            size: self.size_bytes.filter(|bytes| *bytes > 0),
            mode: self.mode.filter(|mode| *mode > 0),
            options: self.options.unwrap_or_default(),
        }
    }
}

/// What is not empty.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount_by(version: ApiVersion, json: &str) -> Result<MountRequest> {
        crate::body::parse::<MountBody>(json.as_bytes())?.into_domain(version)
    }

    fn mount(json: &str) -> Result<MountRequest> {
        mount_by(ApiVersion::NEWEST, json)
    }

    #[test]
    fn options_belong_to_their_type() {
        let error = |json| mount(json).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"Type":"tmpfs","Target":"/x","BindOptions":{}}"#),
            "BindOptions must not be specified on mount type \"tmpfs\""
        );
        assert!(
            error(r#"{"Type":"bind","ImageOptions":{}}"#).contains("field ImageOptions must not")
        );
        let unknown = "invalid mount config for type \"x\": mount type unknown";
        assert_eq!(error(r#"{"Type":"x","Target":"/x"}"#), unknown);
        assert!(error(r#"{"Type":"npipe","Target":"/x"}"#).ends_with("mount type unknown"));
        let old = ApiVersion::new(1, 41);
        mount_by(old, r#"{"Type":"bind","Source":"/","Target":"/x","VolumeOptions":{}}"#).unwrap();
    }

    #[test]
    fn a_volume_without_a_name_is_a_new_one() {
        let volume = mount(r#"{"Type":"volume","Target":"/x"}"#).unwrap();
        assert_eq!(volume.kind, MountKind::Volume(VolumeMount::default()));
    }

    #[test]
    fn what_came_later_needs_its_version() {
        for (version, json, expected) in [
            ((1, 47), r#"{"Type":"image","Source":"a"}"#, "needs API v1.48"),
            ((1, 44), r#"{"Type":"volume","VolumeOptions":{"Subpath":"a"}}"#, "needs API v1.45"),
            ((1, 43), r#"{"Type":"bind","BindOptions":{"ReadOnlyForceRecursive":true}}"#, "v1.44"),
        ] {
            let refused = mount_by(ApiVersion::new(version.0, version.1), json).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
            mount(json).unwrap();
        }
        let json = r#"{"Type":"bind","BindOptions":{"NonRecursive":true,"CreateMountpoint":true}}"#;
        let MountKind::Bind { non_recursive, create_source, .. } =
            mount_by(ApiVersion::new(1, 39), json).unwrap().kind
        else {
            panic!("no bind");
        };
        assert!(!non_recursive && !create_source);
    }
}
