//! A container's OCI bundle: what a start makes and an end takes away.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use super::create::remove_directory;
use super::id::ContainerId;
use super::spec::document::Spec;
use crate::config::Config;
use crate::error::{Error, Result};

/// The directory of what is put together for mount points, in the bundle's.
const MOUNTS: &str = "mounts";

/// Where a bundle is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bundle {
    /// The directory.
    pub(super) path: PathBuf,
}

impl Bundle {
    /// That of the container `id`.
    pub(super) fn of(config: &Config, id: &ContainerId) -> Self {
        Self { path: config.bundle_directory(id.as_str()) }
    }

    /// The /dev/shm that other containers may join.
    pub(super) fn shared_memory(&self) -> PathBuf {
        self.path.join("shm")
    }

    /// Where the mount point `number` of the container is put together, if it has to be.
    pub(super) fn place(&self, number: usize) -> PathBuf {
        self.path.join(MOUNTS).join(number.to_string())
    }

    /// Makes the directories; with a size, shared memory that can be joined. Blocks.
    pub(super) fn make(&self, shared_memory: Option<u64>) -> Result<()> {
        make_directory(&self.path, 0o711)?;
        make_directory(&self.path.join("rootfs"), 0o755)?;
        let Some(size) = shared_memory else { return Ok(()) };
        let shm = self.shared_memory();
        make_directory(&shm, 0o755)?;
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
        let data = std::ffi::CString::new(format!("mode=1777,size={size}")).unwrap_or_default();
        rustix::mount::mount("shm", &shm, "tmpfs", flags, data.as_c_str())
            .map_err(|error| Error::io(format!("mount {}", shm.display()), error.into()))
    }

    /// Writes `config.json`. Blocks.
    pub(super) fn write_spec(&self, spec: &Spec) -> Result<()> {
        let path = self.path.join("config.json");
        let json = serde_json::to_vec(spec)
            .map_err(|error| Error::system(format!("encode {}: {error}", path.display())))?;
        std::fs::write(&path, json)
            .map_err(|error| Error::io(format!("write {}", path.display()), error))
    }

    /// Takes all of it away; it is no error if there is none. Blocks.
    pub(super) fn remove(&self) -> Result<()> {
        let places = std::fs::read_dir(self.path.join(MOUNTS)).into_iter().flatten().flatten();
        let places = places.map(|place| place.path());
        for mount in places.chain([self.shared_memory(), self.path.join("rootfs")]) {
            unmount(&mount)?;
        }
        remove_directory(&self.path)
    }
}

fn make_directory(path: &Path, mode: u32) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| Error::io(format!("make the directory {}", path.display()), error))
}

/// Takes down every mount at `path`, or what is removed next would be what is mounted there.
fn unmount(path: &Path) -> Result<()> {
    loop {
        match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => {
                return Err(Error::io(format!("unmount {}", path.display()), error.into()));
            }
        }
    }
}
