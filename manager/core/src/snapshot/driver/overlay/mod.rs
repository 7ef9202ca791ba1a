//! Overlay: a layer is a directory of what it changes, with the kernel's marks of what it takes
//! away; a container writes into a directory of its own, which the kernel stacks on them.

mod deep;
mod probe;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid};

use deep::Stacking;

use super::{Driver, DriverName, Written};
use crate::disk::sync_directory;
use crate::error::{Error, Result};
use crate::snapshot::directory::{FILES, WORK, make, open};
use crate::snapshot::lookup::Lookup;
use crate::snapshot::lowers::{Layer, Lowers};
use crate::snapshot::marks::Marks;
use crate::snapshot::{GraphDirs, Mount};

/// The empty directory below a container whose image has no layers: overlay needs one.
const NOTHING: &str = "nothing";

/// The driver.
#[derive(Clone)]
pub(super) struct Overlay {
    /// How many layers a mount takes.
    stacking: Stacking,
    /// Options of every overlay here.
    options: Vec<String>,
    /// Docker's name for the file system of the data root.
    backing: &'static str,
}

impl Overlay {
    /// Tries it out in the directory `root`.
    ///
    /// # Errors
    /// What doesn't work.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let stacking = probe::probe(root)?;
        Ok(Self { stacking, options: options(), backing: backing(root)? })
    }
}

impl Driver for Overlay {
    fn name(&self) -> DriverName {
        DriverName::Overlay
    }

    fn status(&self) -> Vec<(&'static str, String)> {
        let facts = [
            ("Backing Filesystem", self.backing),
            ("Supports d_type", "true"),
            ("Using metacopy", "false"),
            ("Native Overlay Diff", "true"),
            ("userxattr", "false"),
        ];
        facts.map(|(name, value)| (name, value.to_owned())).into()
    }

    fn stands_on(&self, other: DriverName) -> bool {
        match other {
            DriverName::Overlay | DriverName::Erofs => true,
            DriverName::Copying => false,
        }
    }

    /// Each thing in it was made by the kernel.
    fn seal(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn open(&self, layer: &Path) -> Result<Layer> {
        Ok(Layer { root: open(&layer.join(FILES))?, marks: Marks::Overlay })
    }

    fn place(&self, layer: &Path) -> PathBuf {
        layer.join(FILES)
    }

    fn show(&self, layer: &Path) -> Result<PathBuf> {
        Ok(layer.join(FILES))
    }

    fn forget(&self, _: &Path) {}

    fn prepare(&self, own: &Path, lowers: &Lowers) -> Result<()> {
        make(&own.join(WORK), 0o700)?;
        if lowers.is_empty() {
            make(&own.join(NOTHING), 0o755)?;
        }
        imitate_root(lowers, &own.join(FILES))?;
        self.stacking.prepare(own, lowers)
    }

    fn sync(&self, own: &Path) -> Result<()> {
        sync_directory(&own.join(FILES))?;
        sync_directory(own)
    }

    fn mounts(&self, own: &Path, layers: &[PathBuf]) -> Result<Vec<Mount>> {
        let directories = directories(own, layers);
        let mut options = vec![
            format!("lowerdir={}", directories.lower),
            format!("upperdir={}", directories.upper.display()),
            format!("workdir={}", directories.work.display()),
        ];
        options.extend_from_slice(&self.options);
        let beside = |layer: &PathBuf| layer.parent().and_then(Path::parent) == own.parent();
        if !layers.iter().all(beside) {
            // Layers are file systems of their own: files have numbers of one all the same, and keep
            // them when they are written to.
            options.push("xino=on".to_owned());
        }
        Ok(vec![Mount { kind: "overlay".to_owned(), source: "overlay".to_owned(), options }])
    }

    fn written(&self, own: &Path) -> Result<Written> {
        Ok(Written::Changes(open(&own.join(FILES))?))
    }

    fn directories(&self, own: &Path, layers: &[PathBuf]) -> Option<GraphDirs> {
        Some(directories(own, layers))
    }
}

fn directories(own: &Path, layers: &[PathBuf]) -> GraphDirs {
    let mut lowers: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
    if layers.is_empty() && own.join(NOTHING).is_dir() {
        lowers.push(own.join(NOTHING).display().to_string());
    } else if let Some((above, below)) = deep::merged(own) {
        lowers.truncate(above);
        lowers.push(own.join(below).display().to_string());
    }
    let lower = lowers.join(":");
    GraphDirs { lower, upper: own.join(FILES), work: own.join(WORK), merged: own.join("merged") }
}

/// What is seen as the root's owner and mode is the upper directory's: they are the image's.
fn imitate_root(lowers: &Lowers, made: &Path) -> Result<()> {
    match lowers.root()? {
        Some(original) => imitate(original, made),
        None => Ok(()),
    }
}

/// Gives the directory `made` the owner and mode of `original`.
pub(in crate::snapshot) fn imitate(original: BorrowedFd<'_>, made: &Path) -> Result<()> {
    let failed = |errno: rustix::io::Errno| {
        Error::io(format_args!("make {} like what is below it", made.display()), errno.into())
    };
    let stat = rustix::fs::fstat(original).map_err(failed)?;
    let made = open(made)?;
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(&made, Some(owner), Some(group))
        .and_then(|()| rustix::fs::fchmod(&made, Mode::from_raw_mode(stat.st_mode & 0o7777)))
        .map_err(failed)
}

/// Docker's names for file systems, by the kernel's numbers.
fn backing(root: &Path) -> Result<&'static str> {
    let stat = rustix::fs::statfs(root).map_err(|errno| {
        Error::io(format_args!("look at the file system of {}", root.display()), errno.into())
    })?;
    Ok(match stat.f_type {
        0xef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0x794c_7630 => "overlayfs",
        _ => "<unknown>",
    })
}

/// What a host may have on for all overlays and is not wanted here. With an index, lower directories
/// that many containers share can't be mounted; with redirects and files that hold only what is
/// said of them, a container's own layer doesn't say what it changed.
fn options() -> Vec<String> {
    let parameters = Path::new("/sys/module/overlay/parameters");
    let is_on = |name: &str| {
        std::fs::read_to_string(parameters.join(name)).is_ok_and(|value| value.trim() == "Y")
    };
    let mut options = Vec::new();
    if parameters.join("index").exists() {
        options.push("index=off".to_owned());
    }
    options.extend(
        ["redirect_dir", "metacopy"]
            .into_iter()
            .filter(|name| is_on(name))
            .map(|name| format!("{name}=off")),
    );
    options
}
