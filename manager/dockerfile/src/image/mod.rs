//! What an image says of itself: the settings of its containers, and how it came to be.

mod health;
mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use health::Health;
pub use history::History;

use crate::platform::Platform;
use crate::shell;

/// The directories that programs are looked for in, where an image says nothing.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The configuration of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// When it was made: set when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// The processor that it is for.
    pub architecture: String,
    /// Which kind of that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// The system that it is for.
    pub os: String,
    /// Which version of that.
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// What the system must have.
    #[serde(
        rename = "os.features",
        deserialize_with = "nothing",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// The settings of its containers.
    #[serde(deserialize_with = "nothing")]
    pub config: Config,
    /// Its layers.
    #[serde(deserialize_with = "nothing")]
    pub rootfs: RootFs,
    /// How it came to be.
    #[serde(deserialize_with = "nothing", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// The settings of containers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    /// Who runs commands.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The ports that are listened on.
    #[serde(deserialize_with = "nothing", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Map<String, Value>>,
    /// Variables, as `NAME=VALUE`.
    #[serde(deserialize_with = "nothing", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// What is run always.
    #[serde(skip_serializing_if = "is_empty")]
    pub entrypoint: Option<Vec<String>>,
    /// What is run.
    #[serde(skip_serializing_if = "is_empty")]
    pub cmd: Option<Vec<String>>,
    /// The directories that are volumes.
    #[serde(deserialize_with = "nothing", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Map<String, Value>>,
    /// The directory that commands run in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// What is said of it.
    #[serde(deserialize_with = "nothing", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks to end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Something that only Windows knows, and that is in images nevertheless.
    #[serde(skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// How a container is asked whether it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Health>,
    /// Instructions for builds that begin with it.
    #[serde(deserialize_with = "nothing", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// What runs commands that are lines.
    #[serde(deserialize_with = "nothing", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
}

/// Layers, by the digests of their content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// What they are: `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// They, from the bottom up.
    #[serde(deserialize_with = "nothing")]
    pub diff_ids: Vec<String>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

impl Image {
    /// What `FROM scratch` begins with.
    #[must_use]
    pub fn empty(platform: &Platform) -> Self {
        let mut image = Self::default();
        image.set_platform(platform);
        "/".clone_into(&mut image.config.working_dir);
        image.config.ensure_path();
        image
    }

    /// What it is for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
        }
    }

    /// Says what it is for.
    pub(crate) fn set_platform(&mut self, platform: &Platform) {
        let Platform { os, architecture, variant, os_version } = platform.clone();
        (self.os, self.architecture) = (os, architecture);
        (self.variant, self.os_version) = (variant, os_version);
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn has_no_layers(&self) -> bool {
        self.rootfs.diff_ids.is_empty() && self.history.iter().all(|step| step.empty_layer)
    }
}

impl Config {
    /// Sets a variable where it is, or as the last.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        match self.env.iter_mut().find(|variable| shell::split(variable).0 == name) {
            Some(variable) => *variable = entry,
            None => self.env.push(entry),
        }
    }

    pub(crate) fn ensure_path(&mut self) {
        if !self.env.iter().any(|variable| shell::split(variable).0 == "PATH") {
            self.env.push(format!("PATH={PATH}"));
        }
    }
}

/// Configurations have `null` where there is nothing.
fn nothing<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[expect(clippy::ref_option, reason = "this is how serde calls it")]
fn is_empty(words: &Option<Vec<String>>) -> bool {
    words.as_ref().is_none_or(Vec::is_empty)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "this is how serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}
