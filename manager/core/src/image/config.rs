//! An image's configuration: what the OCI image specification says, and what docker adds to it.
//!
//! The blob itself is kept byte for byte, since its digest is the image's id; this is its content.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::digest::DiffId;
use super::platform::Platform;
use crate::error::{Error, Result};

/// The configuration of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// The processor it is for, in Go's words (`amd64`).
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    /// The variant of the processor (`v8`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system; only `linux` runs here.
    #[serde(deserialize_with = "or_default")]
    pub os: String,
    /// The version of the operating system that it needs.
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Who made it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// What its maker said about it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The version of the docker that made it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// What a container made from it does unless told otherwise.
    #[serde(rename = "config", deserialize_with = "or_default")]
    pub defaults: Defaults,
    /// Its layers.
    pub rootfs: RootFs,
    /// How it was made, oldest step first.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryStep>,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The layers' contents, lowest first.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<DiffId>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// One step of the making of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryStep {
    /// When it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// The instruction.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Who did it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// What was said about it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// It changed the configuration only, and made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// What a container does unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Defaults {
    /// `user[:group]`, by name or number; empty: root.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports that it listens on: `80/tcp`.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Its environment: `NAME=value`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program and its first arguments; none: `cmd` has the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The arguments after `entrypoint`, or the program with its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Directories that become volumes.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The directory in which it starts; empty: `/`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to stop: a name or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How to find out whether it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The shell of instructions that are no list of words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Instructions for a build that starts from it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Words of `cmd` are escaped already (images of Windows).
    #[serde(deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
}

/// A health check; durations are in nanoseconds, zero means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", program, ...]` or `["CMD-SHELL", line]`; empty: the image's.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Time that one check may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Time at the start during which failures don't count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Time between two checks during the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

impl ImageConfig {
    /// Reads a configuration blob.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] if it isn't one, or is for another operating system than Linux.
    pub fn parse(blob: &[u8]) -> Result<Self> {
        let unreadable =
            |error| Error::invalid(format!("the image's configuration can't be read: {error}"));
        let value: serde_json::Value = serde_json::from_slice(blob).map_err(unreadable)?;
        if !value.get("rootfs").is_some_and(serde_json::Value::is_object) {
            return Err(Error::invalid("invalid image JSON, no RootFS key"));
        }
        let config: Self = serde_json::from_value(value).map_err(unreadable)?;
        if config.rootfs.kind != "layers" {
            return Err(Error::invalid(format!(
                "the image's configuration has a rootfs of type {:?}, not \"layers\"",
                config.rootfs.kind
            )));
        }
        match config.os.as_str() {
            "" | "linux" => Ok(config),
            os => Err(Error::invalid(format!("cannot load {os} image on linux"))),
        }
    }
}

impl ImageConfig {
    /// What it is for; one that does not say so is taken to be for this machine.
    pub(super) fn platform(&self) -> Platform {
        if self.architecture.is_empty() {
            return Platform::host();
        }
        Platform::normal(&self.architecture, self.variant.as_deref())
    }
}

/// Go writes an absent list, map or text as `null`.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A set, which Go writes as an object of empty objects.
mod set {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Empty {}

    pub(super) fn serialize<S: Serializer>(
        set: &BTreeSet<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(set.iter().map(|key| (key, Empty {})))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let map = Option::<BTreeMap<String, Empty>>::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_keys().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_json_is_read_with_its_nulls() {
        let config = ImageConfig::parse(
            br#"{"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05.678901234Z",
            "author":null,"container_config":{"Hostname":"x"},"docker_version":"26.0.0",
            "config":{"Hostname":"","AttachStdin":false,"ExposedPorts":{"80/tcp":{}},"Env":null,
              "Cmd":["nginx","-g","daemon off;"],"Image":"","Volumes":null,"WorkingDir":"",
              "Entrypoint":null,"OnBuild":null,"Labels":null,"StopSignal":"SIGQUIT",
              "Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":30000000000}},
            "rootfs":{"type":"layers","diff_ids":null},"history":null}"#,
        )
        .unwrap();
        assert_eq!(config.defaults.exposed_ports, BTreeSet::from(["80/tcp".to_owned()]));
        assert_eq!(config.defaults.entrypoint, None);
        assert_eq!(config.defaults.healthcheck.unwrap().interval, 30_000_000_000);
        assert_eq!(config.created.unwrap().subsec_nanosecond(), 678_901_234);
        assert_eq!(config.docker_version, "26.0.0");
    }

    #[test]
    fn other_systems_and_other_things_are_refused() {
        let windows = br#"{"os":"windows","rootfs":{"type":"layers"}}"#;
        let error = ImageConfig::parse(windows).unwrap_err();
        assert_eq!(error.to_string(), "cannot load windows image on linux");
        assert!(ImageConfig::parse(b"{\"rootfs\":{\"type\":\"layers+base\"}}").is_err());
        assert!(ImageConfig::parse(b"[]").is_err());
        assert!(ImageConfig::parse(b"").is_err());
    }

    #[test]
    fn it_survives_a_round_trip() {
        let mut config = ImageConfig { os: "linux".to_owned(), ..ImageConfig::default() };
        config.defaults.volumes.insert("/data".to_owned());
        config.defaults.cmd = Some(vec!["sh".to_owned()]);
        let blob = serde_json::to_vec(&config).unwrap();
        assert_eq!(ImageConfig::parse(&blob).unwrap(), config);
    }
}
