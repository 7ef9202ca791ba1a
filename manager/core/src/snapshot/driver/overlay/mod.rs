//! Overlay: a layer is a directory of what it changes, with the kernel's marks of what it takes
//! away; a container writes into a directory of its own, which the kernel stacks on them.

use std::io::BufRead;
use std::path::Path;

use rustix::fs::{Gid, Mode, Uid};

use super::{Driver, DriverName, Located, Written};
use crate::error::{Error, Result};
use crate::snapshot::directory::{FILES, WORK, make, open, sync_directory};
use crate::snapshot::lowers::{Layer, Lowers};
use crate::snapshot::marks::Marks;
use crate::snapshot::{GraphDirs, Mount, unpack};

/// The empty directory below a container whose image has no layers: overlay needs one.
const NOTHING: &str = "nothing";

/// The driver.
pub(super) struct Overlay {
    /// Options of every overlay here.
    options: Vec<String>,
}

impl Overlay {
    pub(super) fn open() -> Self {
        Self { options: options() }
    }
}

impl Driver for Overlay {
    fn name(&self) -> DriverName {
        DriverName::Overlay
    }

    fn status(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn stands_on(&self, other: DriverName) -> bool {
        match other {
            DriverName::Overlay => true,
        }
    }

    fn unpack(&self, archive: &mut dyn BufRead, into: &Path, lowers: Lowers) -> Result<u64> {
        unpack::unpack(archive, open(&into.join(FILES))?, lowers, Marks::Overlay)
    }

    fn open(&self, layer: &Path) -> Result<Layer> {
        Ok(Layer { root: open(&layer.join(FILES))?, marks: Marks::Overlay })
    }

    fn prepare(&self, own: &Path, lowers: &Lowers) -> Result<()> {
        make(&own.join(WORK), 0o700)?;
        if lowers.is_empty() {
            make(&own.join(NOTHING), 0o755)?;
        }
        imitate_root(lowers, &own.join(FILES))?;
        sync_directory(&own.join(FILES))?;
        sync_directory(own)
    }

    fn mounts(&self, own: &Path, layers: &[Located]) -> Result<Vec<Mount>> {
        let directories = directories(own, layers);
        let mut options = vec![
            format!("lowerdir={}", directories.lower),
            format!("upperdir={}", directories.upper.display()),
            format!("workdir={}", directories.work.display()),
        ];
        options.extend_from_slice(&self.options);
        Ok(vec![Mount { kind: "overlay".to_owned(), source: "overlay".to_owned(), options }])
    }

    fn written(&self, own: &Path) -> Result<Written> {
        Ok(Written::Changes(open(&own.join(FILES))?))
    }

    fn directories(&self, own: &Path, layers: &[Located]) -> Option<GraphDirs> {
        Some(directories(own, layers))
    }
}

fn directories(own: &Path, layers: &[Located]) -> GraphDirs {
    let lowers: Vec<String> =
        layers.iter().map(|layer| layer.path.join(FILES).display().to_string()).collect();
    let nothing = own.join(NOTHING);
    let lower = match lowers.is_empty() && nothing.is_dir() {
        true => nothing.display().to_string(),
        false => lowers.join(":"),
    };
    GraphDirs { lower, upper: own.join(FILES), work: own.join(WORK), merged: own.join("merged") }
}

/// What is seen as the root's owner and mode is the upper directory's: they are the image's.
fn imitate_root(lowers: &Lowers, made: &Path) -> Result<()> {
    let Some(original) = lowers.root()? else { return Ok(()) };
    let failed = |errno: rustix::io::Errno| {
        Error::io(format_args!("make {} like its image's root", made.display()), errno.into())
    };
    let stat = rustix::fs::fstat(original).map_err(failed)?;
    let made = open(made)?;
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(&made, Some(owner), Some(group))
        .and_then(|()| rustix::fs::fchmod(&made, Mode::from_raw_mode(stat.st_mode & 0o7777)))
        .map_err(failed)
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
