//! Making a process in the container's v2 cgroup.

use crate::cgroup::Entry;
use crate::error::{Context, Error, Result};
use crate::linux::clone::{Forked, Kinship, fork};
use crate::linux::system::exit;
use nix::sched::CloneFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Forks into `namespaces` and the v2 cgroup of `entry`. Where the kernel does not let this user
/// move a process there, systemd is asked to, and the new process waits until it has.
pub(super) fn fork_into(entry: &Entry, namespaces: CloneFlags) -> Result<Forked> {
    match fork(namespaces, entry.v2_dir(), Kinship::Child) {
        Err(error) if is_denial(&error) && entry.is_by_systemd() => {}
        other => return other.map_err(refused),
    }
    let (gate, key) = pipe_with(PipeFlags::CLOEXEC).context(|| "make the gate of a process")?;
    match fork(namespaces, None, Kinship::Child).map_err(refused)? {
        Forked::Child => {
            drop(key);
            wait_at(&gate);
            Ok(Forked::Child)
        }
        Forked::Parent { pid, pidfd } => {
            let attached = entry.attach(pid).and_then(|()| {
                rustix::io::write(&key, b"0").context(|| "open the gate of a process").map(drop)
            });
            drop(key);
            if attached.is_err() {
                // Without the key it has ended, or is about to.
                let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            }
            attached.map(|()| Forked::Parent { pid, pidfd })
        }
    }
}

/// Waits for the maker; ends the process if it gives up, which it then tells itself.
fn wait_at(gate: &OwnedFd) {
    let mut byte = [0u8; 1];
    match rustix::io::retry_on_intr(|| rustix::io::read(gate, &mut byte)) {
        Ok(1) => {}
        Ok(_) | Err(_) => exit(255),
    }
}

fn is_denial(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}

/// What to say when the kernel makes no process.
fn refused(error: io::Error) -> Error {
    match error.raw_os_error() {
        // No other flag of the call is refused so: the cgroup takes no processes.
        Some(libc::EBUSY | libc::EOPNOTSUPP) => {
            Error::system("error adding pid 0 (the new process) to cgroups: clone", error)
        }
        _ => Error::system("unable to start the container's init: clone", error),
    }
}
