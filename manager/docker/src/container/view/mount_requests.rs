//! `HostConfig.Mounts`: what `--mount` asked for.

use serde::Serialize;
use serde_json::{Map, Value, json};
use tare_core::container::{MountKind, MountRequest, VolumeMount};

/// One mount; options that nobody gave are left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MountRequestView {
    r#type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
    target: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bind_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tmpfs_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_options: Option<Value>,
}

impl From<&MountRequest> for MountRequestView {
    fn from(mount: &MountRequest) -> Self {
        let view = Self {
            r#type: mount.kind.name(),
            target: mount.target.clone(),
            read_only: mount.read_only,
            ..Self::default()
        };
        match &mount.kind {
            MountKind::Bind {
                source,
                propagation,
                non_recursive,
                create_source,
                read_only_non_recursive,
                read_only_force_recursive,
            } => {
                let propagation = propagation.map(|propagation| propagation.to_string());
                let bind_options = options([
                    ("Propagation", propagation.map(Value::from)),
                    ("NonRecursive", flag(*non_recursive)),
                    ("CreateMountpoint", flag(*create_source)),
                    ("ReadOnlyNonRecursive", flag(*read_only_non_recursive)),
                    ("ReadOnlyForceRecursive", flag(*read_only_force_recursive)),
                ]);
                Self { source: source.clone(), bind_options, ..view }
            }
            MountKind::Volume(volume) => {
                let source = volume.name.clone().unwrap_or_default();
                Self { source, volume_options: volume_options(volume), ..view }
            }
            MountKind::Tmpfs { size, mode, options: own } => {
                let tmpfs_options = options([
                    ("SizeBytes", size.map(Value::from)),
                    ("Mode", mode.map(Value::from)),
                    ("Options", (!own.is_empty()).then(|| json!(own))),
                ]);
                Self { tmpfs_options, ..view }
            }
            MountKind::Image { image, subpath } => {
                let image_options = options([("Subpath", subpath.clone().map(Value::from))]);
                Self { source: image.clone(), image_options, ..view }
            }
        }
    }
}

fn volume_options(volume: &VolumeMount) -> Option<Value> {
    let driver = volume.driver.as_ref().and_then(|driver| {
        options([
            ("Name", (!driver.name.is_empty()).then(|| json!(driver.name))),
            ("Options", (!driver.options.is_empty()).then(|| json!(driver.options))),
        ])
    });
    options([
        ("NoCopy", flag(volume.no_copy)),
        ("Labels", (!volume.labels.is_empty()).then(|| json!(volume.labels))),
        ("Subpath", volume.subpath.clone().map(Value::from)),
        ("DriverConfig", driver),
    ])
}

fn flag(set: bool) -> Option<Value> {
    set.then(|| true.into())
}

/// Those options that are given, if there are any.
fn options<const N: usize>(all: [(&str, Option<Value>); N]) -> Option<Value> {
    let given = all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let given: Map<String, Value> = given.collect();
    (!given.is_empty()).then(|| given.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_what_was_given_is_shown() {
        let shown = |kind| {
            let mount = MountRequest { target: "/x".to_owned(), read_only: false, kind };
            serde_json::to_value(MountRequestView::from(&mount)).unwrap()
        };
        let plain = shown(MountKind::Volume(VolumeMount::default()));
        assert_eq!(plain, json!({"Type": "volume", "Target": "/x"}));
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let volume = VolumeMount { no_copy: true, labels, ..VolumeMount::default() };
        let expected = json!({"NoCopy": true, "Labels": {"a": "b"}});
        assert_eq!(shown(MountKind::Volume(volume))["VolumeOptions"], expected);
        let image = MountKind::Image { image: "bb".to_owned(), subpath: Some("etc".to_owned()) };
        assert_eq!(shown(image)["ImageOptions"], json!({"Subpath": "etc"}));
    }
}
