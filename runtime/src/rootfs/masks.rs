//! Paths that a container must not see, or must not change.

use super::attach::{attach, attach_changed, clone_at, new_file_system};
use super::devices::open_null;
use super::options::{NOEXEC, NOSUID, RDONLY};
use super::place::{Root, file_type, is_same_file};
use super::plan::Parameter;
use crate::error::{Context, Result};
use crate::linux::mount::{Change, Depth, set_attributes};
use rustix::fs::FileType;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The attributes of a file's cover. With the host's /dev bound in, the null device is the host's:
/// read-only keeps its mode and owner as they are. Reading and writing the device goes on.
pub(super) const MASK: u64 = RDONLY | NOSUID | NOEXEC;

/// What covers masked paths: the container's null device over a file, an empty directory over a directory.
#[derive(Debug)]
pub(crate) struct Masks {
    null: OwnedFd,
    empty: Option<OwnedFd>,
    label: Option<String>,
}

impl Masks {
    /// Takes hold of the null device of the container in `root`.
    pub(crate) fn new(root: &Root, label: Option<&str>) -> Result<Masks> {
        Ok(Masks { null: open_null(root)?, empty: None, label: label.map(str::to_owned) })
    }

    /// Covers `place`, which is at `path`. A cover that is found there needs none itself.
    pub(crate) fn cover(&mut self, place: &OwnedFd, path: &Path) -> Result<()> {
        let what = || format!("can't mask path {:?}", path.display().to_string());
        let covers = [Some(&self.null), self.empty.as_ref()];
        for cover in covers.into_iter().flatten() {
            if is_same_file(cover, place).context(what)? {
                return Ok(());
            }
        }
        match file_type(place).context(what)? {
            FileType::Directory => self.cover_directory(place).context(what),
            _ => {
                let cover = clone_at(&self.null, Depth::One).context(what)?;
                let change = Change { set: MASK, ..Change::default() };
                attach_changed(&cover, place, |cover| {
                    set_attributes(cover, Depth::One, change).context(|| "make it read-only")
                })
                .context(what)
            }
        }
    }

    /// One empty, read-only directory covers all masked directories. It can be copied only once it
    /// is attached somewhere.
    fn cover_directory(&mut self, place: &OwnedFd) -> Result<()> {
        if let Some(empty) = &self.empty {
            let cover = clone_at(empty, Depth::One).context(|| "copy the empty directory")?;
            return attach(cover, place).context(|| "attach the empty directory");
        }
        let parameter = |name: &str, value: &str| Parameter {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        };
        let mut parameters = vec![parameter("nr_blocks", "1"), parameter("nr_inodes", "1")];
        if let Some(label) = &self.label {
            parameters.push(parameter("context", label));
        }
        let empty = new_file_system("tmpfs", Some(Path::new("tmpfs")), &parameters, RDONLY)?;
        attach(&empty, place).context(|| "attach the empty directory")?;
        self.empty = Some(empty);
        Ok(())
    }
}

/// Makes `place`, which is at `path`, read-only.
pub(crate) fn make_read_only(place: &OwnedFd, path: &Path) -> Result<()> {
    let what = || format!("can't make {:?} read-only", path.display().to_string());
    let tree = clone_at(place, Depth::Tree).context(what)?;
    let change = Change { set: RDONLY, ..Change::default() };
    attach_changed(&tree, place, |tree| {
        set_attributes(tree, Depth::One, change).context(|| "change it")
    })
    .context(what)
}
