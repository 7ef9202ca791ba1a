//! Copies, for where the kernel can't stack directories: a layer is a directory of what it changes,
//! with marks that any file system can hold; a container has a whole copy of its image, made layer
//! by layer. Where the file system can share data between files, the copy takes next to no room.

use std::path::{Path, PathBuf};

use super::lay::{How, lay};
use super::{Driver, DriverName, Written};
use crate::error::{Error, Result};
use crate::snapshot::directory::{FILES, open};
use crate::snapshot::lowers::{Layer, Lowers};
use crate::snapshot::marks::Marks;
use crate::snapshot::{GraphDirs, Mount};

/// The driver.
pub(super) struct Copying;

impl Driver for Copying {
    fn name(&self) -> DriverName {
        DriverName::Copying
    }

    fn status(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn stands_on(&self, _: DriverName) -> bool {
        true
    }

    /// Each thing in it was made by the kernel.
    fn seal(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn open(&self, layer: &Path) -> Result<Layer> {
        Ok(Layer { root: open(&layer.join(FILES))?, marks: Marks::Plain })
    }

    fn place(&self, layer: &Path) -> PathBuf {
        layer.join(FILES)
    }

    fn show(&self, layer: &Path) -> Result<PathBuf> {
        Ok(layer.join(FILES))
    }

    fn forget(&self, _: &Path) {}

    fn prepare(&self, own: &Path, lowers: &Lowers) -> Result<()> {
        let target = open(&own.join(FILES))?;
        for layer in lowers.each().rev() {
            lay(layer?, &target, How::Copy).map_err(|error| error.while_doing("copy the image"))?;
        }
        Ok(())
    }

    fn sync(&self, own: &Path) -> Result<()> {
        rustix::fs::syncfs(open(&own.join(FILES))?)
            .map_err(|errno| Error::io(format_args!("sync {}", own.display()), errno.into()))
    }

    fn mounts(&self, own: &Path, _: &[PathBuf]) -> Result<Vec<Mount>> {
        Ok(vec![Mount {
            kind: "bind".to_owned(),
            source: own.join(FILES).display().to_string(),
            options: vec!["bind".to_owned(), "rw".to_owned()],
        }])
    }

    fn written(&self, own: &Path) -> Result<Written> {
        Ok(Written::Whole(open(&own.join(FILES))?))
    }

    fn directories(&self, _: &Path, _: &[PathBuf]) -> Option<GraphDirs> {
        None
    }
}
