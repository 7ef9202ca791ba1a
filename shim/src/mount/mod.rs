//! Puts a container's root file system together from the mounts that the manager names.

mod held;
mod mapped;
mod plan;
mod short;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use tare_proto::containerd::types::Mount;

use crate::error::{Context, Result};
use plan::Plan;

/// How often, and after what time each, a busy file system is tried again.
const BUSY_RETRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(25);

/// A bundle's root file system, mounted.
#[derive(Debug)]
pub(crate) struct Rootfs {
    path: PathBuf,
}

impl Rootfs {
    /// Mounts `mounts` over one another on `<bundle>/rootfs`; takes them back when one fails.
    pub(crate) fn mount(bundle: &Path, mounts: &[Mount]) -> Result<Option<Self>> {
        if mounts.is_empty() {
            return Ok(None);
        }
        let plans: Vec<Plan> = mounts.iter().map(Plan::read).collect::<Result<_>>()?;
        let path = bundle.join("rootfs");
        match DirBuilder::new().mode(0o711).create(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).context(|| format!("make the directory {}", path.display()));
            }
            _ => {}
        }
        let rootfs = Rootfs { path };
        for plan in &plans {
            if let Err(error) = plan.apply(&rootfs.path) {
                let _ = unmount_now(&rootfs.path);
                return Err(error);
            }
        }
        Ok(Some(rootfs))
    }

    /// Unmounts all of it. Something that still uses it is waited for a little; then it is only
    /// detached, and vanishes when it is used no more.
    pub(crate) async fn unmount(&self) -> Result<()> {
        for _ in 0..BUSY_RETRIES {
            match unmount_all(&self.path, UnmountFlags::NOFOLLOW) {
                Err(Errno::BUSY) => tokio::time::sleep(BUSY_PAUSE).await,
                other => return other.context(|| format!("unmount {}", self.path.display())),
            }
        }
        unmount_now(&self.path)
    }
}

/// Unmounts whatever is mounted on `path`, used or not.
pub(crate) fn unmount_now(path: &Path) -> Result<()> {
    unmount_all(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .context(|| format!("unmount {}", path.display()))
}

fn unmount_all(path: &Path, flags: UnmountFlags) -> std::result::Result<(), Errno> {
    loop {
        match unmount(path, flags) {
            Ok(()) => {}
            // Nothing is mounted there (any more).
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
