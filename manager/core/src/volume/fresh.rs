//! Directories of volumes that nobody sees yet: what is put into them is there as a whole, or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use super::driver::most;
use super::{ASIDE, CONTENT, Volumes, random_name, remove_logged};
use crate::disk::sync_directory;
use crate::error::{Error, Result};
use crate::snapshot::quota;

/// Such a directory; dropped, it is deleted. After a crash it is swept.
pub(super) struct Fresh {
    path: PathBuf,
}

impl Volumes {
    /// An empty one for a volume with these options.
    pub(super) fn fresh(&self, options: &BTreeMap<String, String>) -> Result<Fresh> {
        let fresh = Fresh { path: self.root.join(format!("{ASIDE}{}", random_name())) };
        let content = fresh.content();
        std::fs::create_dir_all(&content)
            .map_err(|error| Error::io(format!("make the volume {}", content.display()), error))?;
        if let Some(bytes) = most(options)? {
            quota::limit_volume(&content, bytes)?;
        }
        Ok(fresh)
    }
}

impl Fresh {
    /// Where what the volume will have goes.
    pub(super) fn content(&self) -> PathBuf {
        self.path.join(CONTENT)
    }

    /// Makes all that is in it durable.
    pub(super) fn sync(&self) -> Result<()> {
        let failed =
            |error| Error::io(format_args!("write {} to the disk", self.path.display()), error);
        let directory = File::open(self.content()).map_err(failed)?;
        rustix::fs::syncfs(directory.as_fd()).map_err(|errno| failed(errno.into()))
    }

    /// Becomes the directory `place`, which isn't there; or changes places with it.
    pub(super) fn put(&self, place: &Path, is_there: bool) -> Result<()> {
        let how = if is_there { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        rustix::fs::renameat_with(CWD, &self.path, CWD, place, how).map_err(|errno| {
            Error::io(format!("put {} in place", place.display()), errno.into())
        })?;
        place.parent().map_or(Ok(()), sync_directory)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.path.exists() {
            remove_logged(&self.path);
        }
    }
}
