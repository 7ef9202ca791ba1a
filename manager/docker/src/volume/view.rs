//! A volume as clients get it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use tare_core::volume::VolumeInfo;

/// The label by which docker knows a volume that nobody gave a name.
pub(super) const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// How docker writes a time that nobody knows.
const UNKNOWN: &str = "0001-01-01T00:00:00Z";

/// Docker's `Volume`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VolumeView {
    created_at: String,
    driver: String,
    labels: Option<BTreeMap<String, String>>,
    mountpoint: String,
    name: String,
    options: Option<BTreeMap<String, String>>,
    scope: &'static str,
    /// What a plugin says of its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_data: Option<UsageData>,
}

/// What a volume takes, and for how many.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct UsageData {
    ref_count: usize,
    /// Bytes; -1 if that isn't known.
    size: i64,
}

impl From<VolumeInfo> for VolumeView {
    fn from(volume: VolumeInfo) -> Self {
        let labels = labels(&volume);
        Self {
            // Docker has no fractions of a second here.
            created_at: volume.created.map_or_else(
                || UNKNOWN.to_owned(),
                |created| created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            ),
            driver: volume.driver,
            labels: (!labels.is_empty()).then_some(labels),
            mountpoint: volume.path.display().to_string(),
            name: volume.name,
            options: (!volume.options.is_empty()).then_some(volume.options),
            scope: volume.scope.as_str(),
            status: volume.status.filter(|status| !status.is_empty()),
            usage_data: None,
        }
    }
}

impl VolumeView {
    /// With what it takes on disk, if that is known.
    pub(crate) fn with_usage(volume: VolumeInfo, bytes: Option<u64>) -> Self {
        let size = bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1);
        let usage = UsageData { ref_count: volume.users.len(), size };
        Self { usage_data: Some(usage), ..volume.into() }
    }
}

/// A volume's labels, with docker's own.
pub(super) fn labels(volume: &VolumeInfo) -> BTreeMap<String, String> {
    let mut labels = volume.labels.clone();
    if volume.anonymous {
        labels.insert(ANONYMOUS.to_owned(), String::new());
    }
    labels
}

#[cfg(test)]
pub(super) mod tests {
    use tare_core::volume::{LOCAL, Scope};

    use super::*;

    /// A volume called `data` with these labels.
    pub(in crate::volume) fn volume(labels: &[(&str, &str)]) -> VolumeInfo {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        VolumeInfo {
            name: "data".to_owned(),
            path: "/root/volumes/data/_data".into(),
            driver: LOCAL.to_owned(),
            scope: Scope::Local,
            status: None,
            created: jiff::Timestamp::new(1_795_325_312, 301_628_380).ok(),
            anonymous: false,
            labels: labels.iter().map(pair).collect(),
            options: BTreeMap::new(),
            users: Vec::new(),
        }
    }

    #[test]
    fn a_volume_has_dockers_shape() {
        let json = serde_json::to_value(VolumeView::from(volume(&[]))).unwrap();
        let expected = serde_json::json!({
            "CreatedAt": "2026-11-22T05:28:32Z", "Driver": "local", "Labels": null,
            "Mountpoint": "/root/volumes/data/_data", "Name": "data", "Options": null,
            "Scope": "local",
        });
        assert_eq!(json, expected);
        let anonymous = VolumeInfo { anonymous: true, ..volume(&[("a", "1")]) };
        let json = serde_json::to_value(VolumeView::with_usage(anonymous, Some(7))).unwrap();
        assert_eq!(json["Labels"], serde_json::json!({"a": "1", ANONYMOUS: ""}));
        assert_eq!(json["UsageData"], serde_json::json!({"RefCount": 0, "Size": 7}));
    }
}
