//! What containers have of their networks, written down for the next manager.
//!
//! All that it describes is in the kernel and ends with a reboot, so it lies below the exec root
//! and needs no sync: a crash of the manager loses nothing that was written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::endpoint::Sandbox;
use crate::error::{Error, Result};

/// One file per container.
pub(super) struct Records {
    directory: PathBuf,
}

impl Records {
    /// The records in `directory`, which is made if it isn't there.
    pub(super) fn open(directory: PathBuf) -> Result<Self> {
        make_directory(&directory)?;
        Ok(Self { directory })
    }

    /// Writes down what a container has.
    pub(super) fn put(&self, sandbox: &Sandbox) -> Result<()> {
        let path = self.path(&sandbox.container);
        let new = path.with_extension("new");
        let write = || {
            fs::write(&new, serde_json::to_vec(sandbox)?)?;
            fs::rename(&new, &path)
        };
        write().map_err(|error| Error::io(format!("write {}", path.display()), error))
    }

    /// Forgets what a container has; it is no error if that is nothing.
    pub(super) fn remove(&self, container: &str) -> Result<()> {
        remove_file(&self.path(container))
    }

    /// All that was written down. What can't be read (an older crash of the host, a
    /// manager of another version) is logged and left out.
    pub(super) fn list(&self) -> Result<Vec<Sandbox>> {
        let mut sandboxes = Vec::new();
        for name in file_names(&self.directory)? {
            let path = self.directory.join(&name);
            let read = || Ok::<_, io::Error>(serde_json::from_slice(&fs::read(&path)?)?);
            match read() {
                Ok(sandbox) => sandboxes.push(sandbox),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "dropping a damaged record");
                    remove_file(&path)?;
                }
            }
        }
        Ok(sandboxes)
    }

    fn path(&self, container: &str) -> PathBuf {
        self.directory.join(format!("{container}.json"))
    }
}

/// Makes a directory that only its owner can enter, and those above it.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::io(format!("make {}", path.display()), error))
}

/// The names of the files in a directory.
pub(super) fn file_names(directory: &Path) -> Result<Vec<String>> {
    let read = || {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()
    };
    read().map_err(|error| Error::io(format!("list {}", directory.display()), error))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_damage_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(directory.path().join("endpoints")).unwrap();
        let sandbox = Sandbox {
            container: "c1".to_owned(),
            netns: None,
            endpoints: Vec::new(),
            ports: Vec::new(),
            wanted_ports: Vec::new(),
            name_servers: Vec::new(),
            forwarding: crate::network::Forwarding::default(),
        };
        records.put(&sandbox).unwrap();
        fs::write(records.path("c2"), "{\"container\": \"c").unwrap();
        assert_eq!(records.list().unwrap(), [sandbox]);
        records.remove("c1").unwrap();
        records.remove("c1").unwrap();
        assert!(file_names(&records.directory).unwrap().is_empty());
    }
}
