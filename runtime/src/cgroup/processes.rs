//! The processes in a container's cgroups: listing and ending them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Cgroup, file};
use crate::error::{Context, Error, Result};
use crate::linux::system::pidfd_send_signal;

/// How long processes may take to go away after SIGKILL, where they have to be killed one by one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The processes in the cgroup `directory`, and in those below it if `recursive`. A cgroup that is
/// gone has none.
pub(super) fn pids(directory: &Path, recursive: bool) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    collect(directory, recursive, &mut found)?;
    Ok(found)
}

fn collect(directory: &Path, recursive: bool, found: &mut Vec<u32>) -> Result<()> {
    let text = match listed(directory) {
        Ok(text) => text,
        Err((_, error)) if file::is_gone(&error) => return Ok(()),
        Err((name, error)) => return Err(file::unreadable(directory, name, error)),
    };
    // The kernel prints 0 for a process that this pid namespace does not show.
    let numbers = text.lines().filter_map(|line| line.parse::<u32>().ok());
    found.extend(numbers.filter(|pid| *pid != 0));
    if !recursive {
        return Ok(());
    }
    for child in children(directory)? {
        collect(&child, recursive, found)?;
    }
    Ok(())
}

/// The text of `cgroup.procs`. Below a threaded v2 cgroup it cannot be read; threads can.
fn listed(directory: &Path) -> Result<String, (&'static str, io::Error)> {
    match file::try_read(directory, "cgroup.procs") {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            file::try_read(directory, "cgroup.threads").map_err(|error| ("cgroup.threads", error))
        }
        other => other.map_err(|error| ("cgroup.procs", error)),
    }
}

/// The cgroups directly below `directory`; none if it is gone.
pub(super) fn children(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if file::is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Error::system(format!("open {}", directory.display()), error)),
    };
    Ok(entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect())
}

/// Sends `signal` to every process of the container.
pub(super) fn kill_all(cgroup: &Cgroup, signal: i32) -> Result<()> {
    if signal == libc::SIGKILL {
        return kill(cgroup);
    }
    if cgroup.is_frozen()? {
        return signal_each(cgroup, signal).map(drop);
    }
    // Frozen processes start no others, so none is missed. A container without a freezer, or one
    // that does not stop, is gone through as it is.
    let frozen = cgroup.freeze().is_ok();
    let outcome = signal_each(cgroup, signal).map(drop);
    if frozen {
        cgroup.thaw()?;
    }
    outcome
}

/// Ends every process of the container, frozen or not.
fn kill(cgroup: &Cgroup) -> Result<()> {
    let whole = kill_at_once(cgroup)?;
    if !whole {
        let _ = cgroup.freeze();
        signal_each(cgroup, libc::SIGKILL)?;
    }
    // A process in a frozen v1 cgroup dies of SIGKILL only when it is let go. Whether there is a
    // freezer, and whether the cgroup is still there, makes no difference any more.
    let _ = cgroup.thaw();
    if whole { Ok(()) } else { kill_stragglers(cgroup) }
}

/// Lets the kernel kill a whole v2 cgroup (Linux 5.14); says whether it could.
fn kill_at_once(cgroup: &Cgroup) -> Result<bool> {
    for group in &cgroup.groups {
        let Some(group) = group.v2() else { continue };
        let name = "cgroup.kill";
        return match file::try_write(&group.directory, name, "1") {
            Ok(()) => Ok(true),
            // An older kernel, a threaded cgroup, or a cgroup that is gone.
            Err(Errno::NOENT | Errno::OPNOTSUPP | Errno::NODEV) => Ok(false),
            Err(errno) => Err(file::refused(&group.directory, name, "1", errno)),
        };
    }
    Ok(false)
}

/// Signals each process once; says how many there were.
fn signal_each(cgroup: &Cgroup, signal: i32) -> Result<usize> {
    let pids = cgroup.pids(true)?;
    for pid in &pids {
        signal_one(*pid, signal).context(|| format!("signal {signal} to process {pid}"))?;
    }
    Ok(pids.len())
}

/// Kills again until nobody is left, for what was started while the first round went.
fn kill_stragglers(cgroup: &Cgroup) -> Result<()> {
    let gone =
        file::wait_for(PATIENCE, || Ok((signal_each(cgroup, libc::SIGKILL)? == 0).then_some(())))?;
    gone.ok_or_else(|| Error::state("the container's processes do not go away after SIGKILL"))
}

/// Signals one process, which may be gone by now: a descriptor for it cannot mean another one that
/// got its number since.
fn signal_one(pid: u32, signal: i32) -> io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        // Gone, or a thread that is no process, as `cgroup.threads` lists; its process is signalled.
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    match pidfd_send_signal(&process, signal) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        outcome => outcome,
    }
}
