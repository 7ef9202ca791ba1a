//! What `delete` must know of a container whose server has died: a file in the bundle.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::runtime::RuntimeConfig;

const FILE_NAME: &str = "shim.json";

/// Whose note it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// Ours.
    Now,
    /// That of a shim that died.
    Before,
}

/// How to take down what a server has made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Leftovers {
    /// The runtime that the container was made with.
    pub(crate) runtime: RuntimeConfig,
    /// Where its record is.
    pub(crate) state_directory: Option<PathBuf>,
    /// Where the init's output is logged: an encoded tare.shim.v1.Log.
    #[serde(default)]
    pub(crate) log: Option<Vec<u8>>,
}

impl Leftovers {
    /// Notes them, before there are any. A note that another shim has left, because it died, is
    /// kept: what it tells of is still there.
    pub(crate) fn write(&self, bundle: &Path) -> Result<Noted> {
        let path = bundle.join(FILE_NAME);
        let what = || format!("write {}", path.display());
        let bytes = serde_json::to_vec(self).context(what)?;
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => file.write_all(&bytes).map(|()| Noted::Now).context(what),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Noted::Before),
            Err(error) => Err(error).context(what),
        }
    }

    /// Notes them in the place of what another shim had noted.
    pub(crate) fn replace(&self, bundle: &Path) -> Result<()> {
        Self::clear(bundle);
        self.write(bundle).map(drop)
    }

    /// Reads the note; `None` where nothing was made.
    pub(crate) fn read(bundle: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(bundle.join(FILE_NAME)).ok()?).ok()
    }

    /// Nothing is left.
    pub(crate) fn clear(bundle: &Path) {
        let _ = fs::remove_file(bundle.join(FILE_NAME));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_shim_noted_is_kept() {
        let bundle = tempfile::tempdir().unwrap();
        let note = |program: &str| Leftovers {
            runtime: RuntimeConfig {
                program: program.into(),
                arguments: Vec::new(),
                root: None,
                systemd_cgroup: false,
                no_pivot: false,
                no_new_keyring: false,
            },
            state_directory: None,
            log: None,
        };
        assert_eq!(note("first").write(bundle.path()).unwrap(), Noted::Now);
        assert_eq!(note("second").write(bundle.path()).unwrap(), Noted::Before);
        let program = Leftovers::read(bundle.path()).unwrap().runtime.program;
        assert_eq!(program, Path::new("first"));
        note("third").replace(bundle.path()).unwrap();
        let program = Leftovers::read(bundle.path()).unwrap().runtime.program;
        assert_eq!(program, Path::new("third"));
        Leftovers::clear(bundle.path());
        assert!(Leftovers::read(bundle.path()).is_none());
    }
}
