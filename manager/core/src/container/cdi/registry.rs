//! All devices that files of the Container Device Interface know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::edits::Combined;
use super::file::{DeviceFile, Edits};
use crate::error::{Error, Result};

/// Devices by their full names: `vendor.com/class=name`.
#[derive(Debug, Default)]
pub(super) struct Registry {
    files: Vec<DeviceFile>,
    devices: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    /// Its file's place in the list.
    file: usize,
    /// How much its directory counts.
    priority: usize,
    /// Two files that count as much both name it.
    is_ambiguous: bool,
    edits: Edits,
}

impl Registry {
    /// Reads all files of these directories. One that can't be read is left out, and told of in the
    /// log: others' devices don't depend on it.
    pub(super) fn read(directories: &[&Path]) -> Self {
        let mut registry = Self::default();
        for (priority, directory) in directories.iter().enumerate() {
            for path in files_in(directory) {
                match DeviceFile::read(&path) {
                    Ok(file) => registry.add(file, priority),
                    Err(error) => {
                        tracing::warn!(path = %path.display(), error, "read about CDI devices");
                    }
                }
            }
        }
        registry
    }

    fn add(&mut self, file: DeviceFile, priority: usize) {
        let number = self.files.len();
        for device in &file.devices {
            let name = format!("{}={}", file.kind, device.name);
            let before = self.devices.get(&name);
            let is_ambiguous = before.is_some_and(|known| known.priority == priority);
            let edits = device.container_edits.clone();
            let known = Known { file: number, priority, is_ambiguous, edits };
            self.devices.insert(name, known);
        }
        self.files.push(file);
    }

    /// What a container with these devices needs: what is said of a file's devices together comes
    /// once, before what is said of each.
    pub(super) fn edits(&self, names: &[String]) -> Result<Combined> {
        let known = |name: &String| self.devices.get(name).filter(|known| !known.is_ambiguous);
        let missing: Vec<&str> =
            names.iter().filter(|name| known(name).is_none()).map(String::as_str).collect();
        if !missing.is_empty() {
            return Err(Error::system(format!(
                "CDI device injection failed: unresolvable CDI devices {}",
                missing.join(", ")
            )));
        }
        let mut combined = Combined::default();
        let mut seen = Vec::new();
        for known in names.iter().filter_map(known) {
            if !seen.contains(&known.file) {
                seen.push(known.file);
                let file = self.files.get(known.file);
                combined.extend(file.map(|file| file.container_edits.clone()));
            }
            combined.extend(Some(known.edits.clone()));
        }
        Ok(combined)
    }
}

/// Files with the names that they are to have; in order, so that the same is found each time.
fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_one = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "json" || extension == "yaml")
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_one).collect();
    files.sort();
    files
}
