//! Volumes that a plugin keeps, in docker's words for plugins: `VolumeDriver`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use crate::error::{Error, Kind, Result};
use crate::plugin::{Nothing, Patience, Places, Plugin, Plugins};

/// The part of the work that such plugins do.
const PART: &str = "VolumeDriver";

/// The plugins that keep volumes.
pub(super) struct Drivers {
    plugins: Plugins,
    /// What waits for them; none where there are no plugins to wait for, as in tests.
    runtime: Option<Handle>,
}

/// One of them. Its calls block.
pub(super) struct Remote {
    plugin: Arc<Plugin>,
    runtime: Handle,
}

/// What a plugin says of one of its volumes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Told {
    pub(super) name: String,
    mountpoint: Option<String>,
    created_at: Option<String>,
    pub(super) status: Option<Map<String, Value>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Made<'a> {
    name: &'a str,
    opts: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct MountedFor<'a> {
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "ID")]
    user: &'a str,
}

/// The answers; what a method has none of is left out.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Answer {
    volume: Option<Told>,
    volumes: Option<Vec<Told>>,
    mountpoint: Option<String>,
    capabilities: Option<Capabilities>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Capabilities {
    scope: String,
}

/// Where a volume is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// On this machine alone.
    #[default]
    Local,
    /// On all machines with the same plugin.
    Global,
}

impl Scope {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Global => "global",
        }
    }
}

impl Drivers {
    /// Those that are found in `places`.
    pub(super) fn new(places: Places) -> Self {
        Self { plugins: Plugins::new(places), runtime: Handle::try_current().ok() }
    }

    /// The plugin `name`. Blocks.
    ///
    /// # Errors
    /// Not found, in docker's words; system if it doesn't say that it keeps volumes.
    pub(super) fn get(&self, name: &str) -> Result<Remote> {
        let failed =
            |error: Error| error.while_doing(format!("error looking up volume plugin {name}"));
        let runtime = self.runtime.clone();
        let runtime = runtime.ok_or_else(|| failed(Error::system("nobody waits for plugins")))?;
        let plugin = runtime.block_on(self.plugins.get(name, PART)).map_err(failed)?;
        Ok(Remote { plugin, runtime })
    }

    /// All that are there and answer. Blocks for no longer than a moment.
    pub(super) fn all(&self) -> Vec<Remote> {
        let Some(runtime) = &self.runtime else { return Vec::new() };
        let all = runtime.block_on(self.plugins.all(PART)).into_iter();
        all.map(|plugin| Remote { plugin, runtime: runtime.clone() }).collect()
    }

    /// The names of those that are in use.
    pub(super) fn used(&self) -> Vec<String> {
        self.plugins.used(PART)
    }

    /// What can wait for them.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref()
    }
}

impl Told {
    /// When the volume was made, if the plugin says so in a way that is understood.
    pub(super) fn created(&self) -> Option<Timestamp> {
        self.created_at.as_deref()?.parse().ok()
    }

    /// Where it is mounted; empty if it isn't.
    pub(super) fn place(&self) -> PathBuf {
        place(self.mountpoint.as_deref().unwrap_or_default()).unwrap_or_default()
    }
}

impl Remote {
    pub(super) fn name(&self) -> &str {
        &self.plugin.name
    }

    /// Makes a volume; one that is there already is left to the plugin.
    pub(super) fn create(&self, name: &str, options: &BTreeMap<String, String>) -> Result<()> {
        self.ask("Create", &Made { name, opts: options }, Patience::Long).map(drop)
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        self.ask("Remove", &Named { name }, Patience::Short).map(drop)
    }

    /// What it says of a volume; none if it hasn't one of this name.
    ///
    /// # Errors
    /// Unavailable if the plugin doesn't answer: then nobody knows.
    pub(super) fn find(&self, name: &str, patience: Patience) -> Result<Option<Told>> {
        match self.ask("Get", &Named { name }, patience) {
            Ok(answer) => Ok(answer.volume.filter(|told| told.name == name)),
            Err(error) if error.kind() == Kind::Unavailable => Err(error),
            Err(error) => {
                tracing::debug!(plugin = self.name(), volume = name, %error, "look for a volume");
                Ok(None)
            }
        }
    }

    /// All its volumes.
    pub(super) fn list(&self) -> Result<Vec<Told>> {
        let answer = self.ask("List", &Nothing {}, Patience::Soon);
        let answer = answer.map_err(|error| error.while_doing(format!("list {}", self.name())))?;
        Ok(answer.volumes.unwrap_or_default())
    }

    /// Mounts a volume for the container `user`, and says where.
    pub(super) fn mount(&self, name: &str, user: &str) -> Result<PathBuf> {
        let answer = self.ask("Mount", &MountedFor { name, user }, Patience::Long)?;
        place(answer.mountpoint.as_deref().unwrap_or_default()).ok_or_else(|| {
            Error::system(format!(
                "VolumeDriver.Mount: the plugin {} says that the volume {name} is mounted at {:?}, \
                 which is no absolute path",
                self.name(),
                answer.mountpoint.unwrap_or_default()
            ))
        })
    }

    pub(super) fn unmount(&self, name: &str, user: &str) -> Result<()> {
        self.ask("Unmount", &MountedFor { name, user }, Patience::Short).map(drop)
    }

    /// Where its volumes are there. A plugin that doesn't say keeps them on this machine.
    pub(super) fn scope(&self) -> Scope {
        let answer = self.ask("Capabilities", &Nothing {}, Patience::Soon);
        let capabilities = answer.ok().and_then(|answer| answer.capabilities).unwrap_or_default();
        match capabilities.scope.to_lowercase().as_str() {
            "global" => Scope::Global,
            _ => Scope::Local,
        }
    }

    fn ask(&self, method: &str, question: &impl Serialize, patience: Patience) -> Result<Answer> {
        let method = format!("{PART}.{method}");
        self.runtime.block_on(self.plugin.call(&method, question, patience))
    }
}

/// An absolute path without steps that lead up.
fn place(path: &str) -> Option<PathBuf> {
    let steps_up = Path::new(path).components().any(|it| it == std::path::Component::ParentDir);
    (path.starts_with('/') && !path.contains('\0') && !steps_up).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_absolute() {
        assert_eq!(place("/mnt/data"), Some("/mnt/data".into()));
        for wrong in ["", "data", "../data", "/mnt/../etc", "/a\0b"] {
            assert_eq!(place(wrong), None, "{wrong:?}");
        }
    }
}
