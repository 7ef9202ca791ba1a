//! What `delete` must know of a container whose server has died: a file in the bundle.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::runtime::RuntimeConfig;

const FILE_NAME: &str = "shim.json";

/// How to take down what a server has made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Leftovers {
    /// The runtime that the container was made with.
    pub(crate) runtime: RuntimeConfig,
    /// Where its record is.
    pub(crate) state_directory: Option<PathBuf>,
}

impl Leftovers {
    /// Notes them, before there are any.
    pub(crate) fn write(&self, bundle: &Path) -> Result<()> {
        let path = bundle.join(FILE_NAME);
        let what = || format!("write {}", path.display());
        fs::write(&path, serde_json::to_vec(self).context(what)?).context(what)
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
