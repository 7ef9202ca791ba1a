//! A bundle: a directory with a configuration and, usually, a root filesystem.

use crate::error::{Context, Error, Kind, Result};
use crate::process::capabilities::forget_unknown;
use oci_spec::runtime::{Process, Spec};
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";

/// A bundle that was read.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Its directory; absolute, and without links.
    pub(crate) path: PathBuf,
    /// Its configuration.
    pub(crate) spec: Spec,
    /// The same as it stands in the file.
    pub(crate) config: Vec<u8>,
}

impl Bundle {
    /// Reads the bundle in the directory `path` and makes it the working directory, from which its
    /// relative paths count.
    pub(crate) fn enter(path: &Path) -> Result<Bundle> {
        std::env::set_current_dir(path).context(|| format!("chdir {}", path.display()))?;
        let path = std::env::current_dir().context(|| "getwd")?;
        let config = std::fs::read(CONFIG).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(Kind::NotFound, format!("JSON specification file {CONFIG} not found"))
            }
            _ => Error::system(format!("open {CONFIG}"), error),
        })?;
        let spec = parse(&config)?;
        Ok(Bundle { path, spec, config })
    }

    /// The directory of the root filesystem; absolute.
    pub(crate) fn rootfs(&self) -> Result<PathBuf> {
        let root =
            self.spec.root().as_ref().ok_or_else(|| Error::invalid("root must be specified"))?;
        let path = self.path.join(root.path());
        // The path of a mount point must be what it seems, or it is mounted elsewhere.
        std::fs::canonicalize(&path).map_err(|error| {
            Error::system(format!("invalid rootfs: stat {}", path.display()), error)
        })
    }

    /// The process that the container is made for.
    pub(crate) fn process(&self) -> Result<&Process> {
        let process = self.spec.process().as_ref();
        let process =
            process.ok_or_else(|| Error::invalid("process property must not be empty"))?;
        check_process(process)?;
        Ok(process)
    }
}

/// Parses a configuration. Capabilities that this program does not know are left out.
pub(crate) fn parse(config: &[u8]) -> Result<Spec> {
    let invalid = |error: serde_json::Error| Error::invalid(format!("{CONFIG}: {error}"));
    serde_json::from_slice(config).or_else(|error| {
        let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(config) else {
            return Err(invalid(error));
        };
        let process = value.get_mut("process").map(forget_unknown);
        match process.is_some_and(|unknown| !unknown.is_empty()) {
            true => serde_json::from_value(value).map_err(invalid),
            false => Err(invalid(error)),
        }
    })
}

/// Parses the description of a process.
pub(crate) fn parse_process(text: &[u8]) -> Result<Process> {
    let invalid = |error: serde_json::Error| Error::invalid(format!("process: {error}"));
    let process = serde_json::from_slice(text).or_else(|error| {
        let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(text) else {
            return Err(invalid(error));
        };
        match forget_unknown(&mut value).is_empty() {
            true => Err(invalid(error)),
            false => serde_json::from_value(value).map_err(invalid),
        }
    })?;
    check_process(&process)?;
    Ok(process)
}

/// Refuses a process that cannot be run.
pub(super) fn check_process(process: &Process) -> Result<()> {
    if process.cwd().as_os_str().is_empty() {
        return Err(Error::invalid("Cwd property must not be empty"));
    }
    if !process.cwd().is_absolute() {
        return Err(Error::invalid("Cwd must be an absolute path"));
    }
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::invalid("args must not be empty"));
    }
    Ok(())
}
