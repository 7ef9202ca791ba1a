//! `Mounts`: what is mounted into a container.

use serde::Serialize;
use tare_core::container::{MountPoint, MountSource};

/// Docker's `MountPoint`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MountView {
    r#type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    source: String,
    destination: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    driver: String,
    mode: String,
    #[serde(rename = "RW")]
    rw: bool,
    propagation: String,
}

impl From<&MountPoint> for MountView {
    fn from(mount: &MountPoint) -> Self {
        let (r#type, name, source, driver) = match &mount.source {
            MountSource::Path(path) => ("bind", String::new(), path.display().to_string(), ""),
            MountSource::Volume { name, path, driver, .. } => {
                ("volume", name.clone(), path.display().to_string(), &**driver)
            }
            MountSource::Image { name, id, .. } => ("image", name.clone(), id.clone(), ""),
            MountSource::Tmpfs { .. } => ("tmpfs", String::new(), String::new(), ""),
        };
        Self {
            r#type,
            name,
            source,
            destination: mount.target.clone(),
            driver: driver.to_owned(),
            mode: mount.mode.clone(),
            rw: mount.writable,
            propagation: mount.propagation.map(|mode| mode.to_string()).unwrap_or_default(),
        }
    }
}

impl MountView {
    /// Whether a filter by this text means it: its place inside, its volume, or its source.
    pub(in crate::container) fn is_called(&self, text: &str) -> bool {
        let outside = if self.name.is_empty() { &self.source } else { &self.name };
        self.destination == text || outside == text
    }
}
