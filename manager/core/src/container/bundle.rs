//! A container's OCI bundle: what a start makes and an end takes away. If the container's users are
//! others on the host, it says who they are, too, and holds their user namespace.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use super::create::remove_directory;
use super::id::ContainerId;
use super::spec::document::Spec;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ids::{IdMap, namespace};

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

    /// What holds the container's user namespace, if it has one of its own.
    pub(super) fn users(&self) -> PathBuf {
        self.path.join("users")
    }

    /// Who the container's users are on the host.
    fn id_map_file(&self) -> PathBuf {
        self.path.join("ids.json")
    }

    /// Where the mount point `number` of the container is put together, if it has to be.
    pub(super) fn place(&self, number: usize) -> PathBuf {
        self.path.join(MOUNTS).join(number.to_string())
    }

    /// Makes the directories, and what `parts` ask for. Blocks.
    pub(super) fn make(&self, parts: &Parts) -> Result<()> {
        make_directory(&self.path, 0o711)?;
        make_directory(&self.path.join("rootfs"), 0o755)?;
        if let Some(map) = &parts.id_map {
            write_json(&self.id_map_file(), map)?;
            let users = match &parts.joined_users {
                Some(of_another) => namespace::open(of_another)?,
                None => namespace::new(map)?,
            };
            unmount(&self.users())?;
            namespace::hold(&users, &self.users())?;
        }
        if let Some(size) = parts.shared_memory {
            self.mount_shared_memory(size, parts.id_map.as_ref())?;
        }
        Ok(())
    }

    /// Who the container's users are on the host in this run; `None`: the host's own.
    pub(super) fn id_map(&self) -> Result<Option<IdMap>> {
        let path = self.id_map_file();
        let failed = |error| Error::io(format!("read {}", path.display()), error);
        match std::fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|e| failed(e.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn mount_shared_memory(&self, size: u64, id_map: Option<&IdMap>) -> Result<()> {
        let shm = self.shared_memory();
        make_directory(&shm, 0o755)?;
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
        let (uid, gid) = id_map.map_or((0, 0), IdMap::root);
        let data = format!("mode=1777,size={size},uid={uid},gid={gid}");
        let data = std::ffi::CString::new(data).unwrap_or_default();
        rustix::mount::mount("shm", &shm, "tmpfs", flags, data.as_c_str())
            .map_err(|error| Error::io(format!("mount {}", shm.display()), error.into()))
    }

    /// Writes `config.json`. Blocks.
    pub(super) fn write_spec(&self, spec: &Spec) -> Result<()> {
        write_json(&self.path.join("config.json"), spec)
    }

    /// Takes all of it away; it is no error if there is none. Blocks.
    pub(super) fn remove(&self) -> Result<()> {
        let places = std::fs::read_dir(self.path.join(MOUNTS)).into_iter().flatten().flatten();
        let places = places.map(|place| place.path());
        for mount in places.chain([self.shared_memory(), self.path.join("rootfs"), self.users()]) {
            unmount(&mount)?;
        }
        remove_directory(&self.path)
    }
}

/// What a bundle has for one container and not for another.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    /// The size of shared memory that other containers can join.
    pub(super) shared_memory: Option<u64>,
    /// Who the container's users are on the host; `None`: the host's own.
    pub(super) id_map: Option<IdMap>,
    /// The user namespace of another container that it shares.
    pub(super) joined_users: Option<PathBuf>,
}

fn write_json(path: &Path, content: &impl serde::Serialize) -> Result<()> {
    let json = serde_json::to_vec(content)
        .map_err(|error| Error::system(format!("encode {}: {error}", path.display())))?;
    std::fs::write(path, json)
        .map_err(|error| Error::io(format!("write {}", path.display()), error))
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
