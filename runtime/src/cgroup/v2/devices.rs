//! Device access on v2: a program on the cgroup that the kernel asks about each use.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::super::devices::DeviceList;
use super::super::driver::Stage;
use super::program;
use crate::error::{Context, Result};
use crate::linux::bpf::device as bpf;

/// Puts a program for `list` on the cgroup, in the place of the one that an earlier call put there.
/// All programs of a cgroup and of those above it have to agree before a device may be used.
pub(super) fn enforce(directory: &Path, list: &DeviceList, stage: Stage) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let cgroup = rustix::fs::open(directory, flags, Mode::empty())
        .context(|| format!("open {}", directory.display()))?;
    let program = bpf::load(&program::compile(list)).context(|| "load the device program")?;
    let present = match stage {
        Stage::New => Vec::new(),
        Stage::Running => {
            bpf::attached(cgroup.as_fd()).context(|| "list the device programs of the cgroup")?
        }
    };
    // Replacing leaves no moment without a program. With several, the new one is added first.
    let replaced = match present.as_slice() {
        [only] => Some(only.as_fd()),
        _ => None,
    };
    bpf::attach(cgroup.as_fd(), program.as_fd(), replaced)
        .context(|| format!("attach the device program to {}", directory.display()))?;
    if replaced.is_none() {
        for old in &present {
            bpf::detach(cgroup.as_fd(), old.as_fd())
                .context(|| format!("detach a device program from {}", directory.display()))?;
        }
    }
    Ok(())
}
