//! A bundle: a directory with a configuration and, usually, a root filesystem.

use super::{dialect, key_case};
use crate::error::{Context, Error, Kind, Result};
use oci_spec::runtime::{Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";

/// The longest description that is read, in bytes: what leads to one without end is refused, not
/// read until memory ends.
const LONGEST: u64 = 32 * 1024 * 1024;

/// A bundle that was read.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Its directory; absolute, and without links.
    pub(crate) path: PathBuf,
    /// Its configuration.
    pub(crate) spec: Spec,
    /// The same as it stands in the file.
    pub(crate) config: Vec<u8>,
    /// What is to be said about it.
    pub(crate) warnings: Vec<String>,
}

impl Bundle {
    /// Reads the bundle in the directory `path` and makes it the working directory, from which its
    /// relative paths count.
    pub(crate) fn enter(path: &Path) -> Result<Bundle> {
        std::env::set_current_dir(path).context(|| format!("chdir {}", path.display()))?;
        let path = std::env::current_dir().context(|| "getwd")?;
        let config = read_bounded(Path::new(CONFIG)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(Kind::NotFound, format!("JSON specification file {CONFIG} not found"))
            }
            _ => Error::system(format!("open {CONFIG}"), error),
        })?;
        let (spec, mut warnings) = parse(&config)?;
        let mounts = spec.mounts().iter().flatten();
        for mount in mounts.filter(|mount| mount.destination().is_relative()) {
            let place = mount.destination().display();
            warnings.push(format!(
                "mount destination {place} is not absolute: it counts from the container's root"
            ));
        }
        Ok(Bundle { path, spec, config, warnings })
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

/// Reads a description, unless it is longer than any can sensibly be.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LONGEST {
        true => Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("longer than {LONGEST} bytes"),
        )),
        false => Ok(bytes),
    }
}

/// Parses a configuration; beside it comes what is to be said about it.
pub(crate) fn parse(config: &[u8]) -> Result<(Spec, Vec<String>)> {
    let config = &*key_case::restore(config, "/linux/resources");
    let (mut spec, warnings): (Spec, _) = read(config, CONFIG, dialect::rewrite_config)?;
    let linux = spec.linux_mut().as_mut();
    if let Some(resources) = linux.and_then(|linux| linux.resources_mut().as_mut()) {
        dialect::settle_resources(resources, config, "/linux/resources");
    }
    Ok((spec, warnings))
}

/// Parses the description of a process; beside it comes what is to be said about it.
pub(crate) fn parse_process(text: &[u8]) -> Result<(Process, Vec<String>)> {
    let (process, warnings) =
        read(text, "process", |process| Ok(dialect::rewrite_process(process)))?;
    check_process(&process)?;
    Ok((process, warnings))
}

/// Parses JSON. A text that does not fit as it is gets one more chance, after `rewrite`, which
/// returns what is to be said about it.
fn read<T: DeserializeOwned>(
    text: &[u8],
    name: &str,
    rewrite: impl FnOnce(&mut Value) -> Result<Vec<String>>,
) -> Result<(T, Vec<String>)> {
    let invalid = |error: serde_json::Error| Error::invalid(format!("{name}: {error}"));
    serde_json::from_slice(text).map(|value| (value, Vec::new())).or_else(|error| {
        let Ok(before) = serde_json::from_slice::<Value>(text) else { return Err(invalid(error)) };
        let mut value = before.clone();
        let warnings = rewrite(&mut value)?;
        match value == before {
            // Only this error says the line.
            true => Err(invalid(error)),
            false => Ok((serde_json::from_value(value).map_err(invalid)?, warnings)),
        }
    })
}

/// Refuses a process that cannot be run.
pub(crate) fn check_process(process: &Process) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_leave_out_its_user() {
        let (process, warnings) = parse_process(br#"{"args": ["x"], "cwd": "/"}"#).unwrap();
        assert_eq!((process.user().uid(), process.user().gid()), (0, 0));
        assert!(warnings.is_empty());
        let error = parse_process(br#"{"args": ["x"]}"#).unwrap_err();
        assert_eq!(error.to_string(), "Cwd property must not be empty");
        assert!(parse_process(br#"{"args": 7, "cwd": "/"}"#).is_err());
    }

    #[test]
    fn no_limit_of_tasks_is_not_a_limit_of_zero() {
        for (pids, limit) in
            [("{}", None), (r#"{"limit": 0}"#, Some(0)), (r#"{"limit": 7}"#, Some(7))]
        {
            let config = format!(
                r#"{{"ociVersion": "1.0.0", "linux": {{"resources": {{"pids": {pids}}}}}}}"#
            );
            let (spec, _) = parse(config.as_bytes()).unwrap();
            let resources = spec.linux().as_ref().unwrap().resources().as_ref().unwrap();
            assert_eq!(resources.pids().as_ref().map(|pids| pids.limit()), limit, "{pids}");
        }
    }

    #[test]
    fn unknown_capabilities_are_told() {
        let config = br#"{"ociVersion": "1.0.0", "process": {"cwd": "/", "args": ["x"],
            "capabilities": {"bounding": ["CAP_FUTURE", "CAP_KILL"]}}}"#;
        let (spec, warnings) = parse(config).unwrap();
        assert_eq!(warnings, ["ignoring unknown or unavailable capabilities: [CAP_FUTURE]"]);
        let bounding = spec.process().as_ref().unwrap().capabilities().as_ref().unwrap();
        assert_eq!(bounding.bounding().as_ref().unwrap().len(), 1);
    }
}
