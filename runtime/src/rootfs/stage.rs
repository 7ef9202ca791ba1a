//! Where criu finds what it builds a container's file system from.
//!
//! criu takes paths, and mounts what it finds there. So everything is opened here, and attached by
//! descriptor to a directory that is seen in criu's own mount namespace only. The kernel takes it
//! all away when that namespace ends.

use super::attach::{attach, clone_path, new_file_system, open_host};
use super::idmapped::{self, ContainerIds};
use super::masks::MASK;
use super::options::SLAVE;
use super::place::{Root, file_type};
use super::plan::{MountPlan, Parameter, What};
use crate::error::{Context, Error, Result};
use crate::linux::mount::{Change, Depth, set_attributes};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What is put on the stage, beside the root.
#[derive(Debug, Clone)]
pub(crate) enum Prop {
    /// The source of a bind mount.
    Mount(Box<MountPlan>),
    /// What is at a path of the host.
    Path(PathBuf),
    /// A null device that nobody else has.
    Null,
}

/// The stage, as it is to be.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    /// A directory of the host, of which nothing is needed meanwhile.
    pub(crate) at: &'a Path,
    /// The container's root.
    pub(crate) rootfs: &'a Path,
    /// The container's mounts, in order.
    pub(crate) mounts: &'a [MountPlan],
    /// What else is needed for them.
    pub(crate) props: &'a [Prop],
    /// Mounts that only have to be there.
    pub(crate) others: &'a [BorrowedFd<'a>],
    /// The container's ids.
    pub(crate) ids: &'a ContainerIds<'a>,
}

impl Stage<'_> {
    /// Where the container's root is.
    pub(crate) fn root(&self) -> PathBuf {
        self.at.join("root")
    }

    /// Where the prop with this number is.
    pub(crate) fn prop(&self, number: usize) -> PathBuf {
        self.at.join(number.to_string())
    }

    /// Sets the stage in this process's mount namespace, which is its own.
    pub(crate) fn set(&self) -> Result<()> {
        self.separate()?;
        let mode = Parameter { name: "mode".to_owned(), value: Some("711".to_owned()) };
        let top = new_file_system("tmpfs", Some(Path::new("tmpfs")), &[mode], 0)?;
        let place = open_host(self.at).context(|| format!("open {}", self.at.display()))?;
        attach(&top, place).context(|| format!("mount {}", self.at.display()))?;
        let top = Root::new(top);
        self.make_places(&top)?;
        self.mount_root(&top)?;
        for (number, prop) in self.props.iter().enumerate() {
            self.put(&top, number, prop)?;
        }
        for (number, other) in self.others.iter().enumerate() {
            let place = top.make_dir(Path::new(&format!("other{number}")), 0o755)?;
            attach(other, place).context(|| "attach criu's directories")?;
        }
        Ok(())
    }

    /// What is mounted on the stage is not to appear on the host. All other mounts stay the host's
    /// peers, so that the container's mounts of them are again what they were.
    fn separate(&self) -> Result<()> {
        let change = Change { propagation: SLAVE, ..Change::default() };
        for path in self.at.ancestors() {
            let what = || format!("separate {}", path.display());
            let place = open_host(path).context(what)?;
            match set_attributes(&place, Depth::One, change) {
                // No mount point; the one that matters is further up.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                other => return other.context(what),
            }
        }
        Ok(())
    }

    /// Makes the places of mounts that are missing, in the root and in what is mounted there, as
    /// was done when the container was created.
    fn make_places(&self, top: &Root) -> Result<()> {
        let root = Root::new(self.mount_root(top)?);
        let kernels_own = self.mounts.iter().filter(|mount| !matches!(mount.what, What::Bind(_)));
        let kernels_own: Vec<&Path> =
            kernels_own.map(|mount| mount.destination.as_path()).collect();
        for mount in self.mounts {
            let destination = &mount.destination;
            let is_below = |above: &&Path| destination.starts_with(above) && destination != above;
            // What is in a file system that criu fills is filled in by criu.
            if kernels_own.iter().any(is_below) {
                continue;
            }
            let what = || format!("make a place for the mount {}", destination.display());
            match &mount.what {
                What::Cgroups => {}
                What::New(_) => drop(root.make_dir(destination, 0o755).context(what)?),
                What::Bind(_) => {
                    let source = idmapped::open_here(mount, self.ids).context(what)?;
                    let place = match root.find(destination).context(what)? {
                        Some(place) => place,
                        None => make_like(&source, &root, destination).context(what)?,
                    };
                    attach(&source, place).context(what)?;
                }
            }
        }
        unmount(self.root(), UnmountFlags::DETACH)
            .context(|| format!("unmount {}", self.root().display()))
    }

    fn mount_root(&self, top: &Root) -> Result<OwnedFd> {
        let what = || format!("mount {}", self.rootfs.display());
        let tree = clone_path(CWD, self.rootfs, Depth::Tree).context(what)?;
        attach(&tree, top.make_dir(Path::new("root"), 0o755)?).context(what)?;
        Ok(tree)
    }

    fn put(&self, top: &Root, number: usize, prop: &Prop) -> Result<()> {
        let name = number.to_string();
        let place = Path::new(&name);
        let (source, shown) = match prop {
            Prop::Null => (null(top)?, Path::new("a null device")),
            Prop::Mount(mount) => {
                (idmapped::open_here(mount, self.ids)?, mount.destination.as_path())
            }
            Prop::Path(path) => {
                let tree = clone_path(CWD, path, Depth::One);
                (tree.context(|| format!("open {}", path.display()))?, path.as_path())
            }
        };
        let what = || format!("show {} to criu", shown.display());
        let place = make_like(&source, top, place).context(what)?;
        attach(&source, place).context(what)
    }
}

/// A null device as masks are made of, mounted so that nothing about it can be changed. criu gives
/// only the first of several mounts of one source the options that it had.
fn null(top: &Root) -> Result<OwnedFd> {
    let what = || "make a null device";
    let mode = Mode::from_raw_mode(0o666);
    match mknodat(top, "null", FileType::CharacterDevice, mode, makedev(1, 3)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(Error::system(what(), errno)),
    }
    let cover = clone_path(top, Path::new("null"), Depth::One).context(what)?;
    set_attributes(&cover, Depth::One, Change { set: MASK, ..Change::default() }).context(what)?;
    Ok(cover)
}

/// Makes `path` as the kind of thing that `source` is.
fn make_like(source: &OwnedFd, root: &Root, path: &Path) -> Result<OwnedFd> {
    match file_type(source).context(|| "look at the source")? {
        FileType::Directory => root.make_dir(path, 0o755),
        _ => root.make_file(path),
    }
}
