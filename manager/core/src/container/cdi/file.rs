//! A file of the Container Device Interface: a kind of devices, and what each needs. It is YAML, of
//! which JSON is a part.

use std::path::Path;

use serde::Deserialize;

/// The most that is read of one.
const LARGEST: u64 = 4 << 20;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceFile {
    /// `vendor.com/class`.
    pub(super) kind: String,
    #[serde(default)]
    pub(super) devices: Vec<Device>,
    /// What containers with any of the devices need.
    #[serde(default)]
    pub(super) container_edits: Edits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Device {
    pub(super) name: String,
    #[serde(default)]
    pub(super) container_edits: Edits,
}

/// What a container gets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Edits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<DeviceNode>,
    pub(super) hooks: Vec<NamedHook>,
    pub(super) mounts: Vec<Mount>,
    #[serde(rename = "additionalGids")]
    pub(super) additional_gids: Vec<u32>,
    /// Network interfaces, and classes of caches and memory bandwidth, can't be given here.
    pub(super) net_devices: Vec<serde::de::IgnoredAny>,
    pub(super) intel_rdt: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceNode {
    pub(super) path: String,
    /// Where the host has it, if elsewhere.
    #[serde(default)]
    pub(super) host_path: String,
    /// `b` or `c`; empty: as the host's.
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) file_mode: Option<u32>,
    #[serde(default)]
    pub(super) permissions: String,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NamedHook {
    pub(super) hook_name: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) env: Vec<String>,
    pub(super) timeout: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    #[serde(default)]
    pub(super) options: Vec<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
}

impl DeviceFile {
    /// Reads one.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
        if size > LARGEST {
            return Err(format!("it is larger than {} MiB", LARGEST >> 20));
        }
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let file: Self = serde_yaml_ng::from_str(&text).map_err(|error| error.to_string())?;
        match file.kind.split_once('/') {
            Some((vendor, class)) if !vendor.is_empty() && !class.is_empty() => Ok(file),
            _ => Err(format!("the kind {:?} is not VENDOR/CLASS", file.kind)),
        }
    }
}
