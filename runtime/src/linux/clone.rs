//! Making a process together with its namespaces, in its cgroup, in one call (clone3(2)).

use super::check;
use nix::sched::CloneFlags;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// How the new process is related to its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinship {
    /// A child, whose end is told by SIGCHLD.
    Child,
    /// A sibling: its parent is this process's parent.
    Sibling,
}

/// Which of the two processes a call returned in.
#[derive(Debug)]
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The one that called.
    Parent {
        /// The new process's id, as this process's pid namespace counts.
        pid: u32,
        /// A descriptor of the new process.
        pidfd: OwnedFd,
    },
}

/// `struct clone_args` as Linux 5.7 has it.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// CLONE_INTO_CGROUP, which the flag type does not know.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks this process into new `namespaces` and, where one is given, into the cgroup v2 directory
/// `cgroup`. Memory is copied on write, as fork(2) does.
pub(crate) fn fork(
    namespaces: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
    kinship: Kinship,
) -> io::Result<Forked> {
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: namespaces.bits() as u32 as u64 | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        ..CloneArgs::default()
    };
    match kinship {
        Kinship::Child => args.exit_signal = libc::SIGCHLD as u64,
        Kinship::Sibling => args.flags |= libc::CLONE_PARENT as u64,
    }
    if let Some(cgroup) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` is a valid clone_args of the size given, and `pidfd` outlives the call. No
    // stack and none of CLONE_VM, CLONE_THREAD or CLONE_SIGHAND is asked for, so the child runs on
    // a copy of this memory from here on, as after fork(2). The program has one thread, so no lock
    // of the allocator or the C library is left held in the child.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) })?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent { pid: pid as u32, pidfd })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;

    #[test]
    fn a_fork_runs_and_is_waited_for_by_its_descriptor() {
        match fork(CloneFlags::empty(), None, Kinship::Child).unwrap() {
            Forked::Child => super::super::system::exit(7),
            Forked::Parent { pid, pidfd } => {
                assert!(pid > 0);
                let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
                assert_eq!(status.unwrap().unwrap().exit_status(), Some(7));
            }
        }
    }
}
