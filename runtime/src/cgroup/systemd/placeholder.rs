//! The process around which a scope is made, until the container's own is in it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sched::CloneFlags;
use rustix::process::{Pid, Signal, set_parent_process_death_signal};

use super::super::{file, processes};
use crate::error::{Context, Error, Result};
use crate::linux::clone::{Forked, Kinship, fork};
use crate::linux::system::exit;

/// How often the placeholder looks whether it is still needed.
const PAUSE: Duration = Duration::from_millis(2);

/// How long it waits for the container's process at most.
const LONGEST_STAY: Duration = Duration::from_secs(60);

/// A process that does nothing. Dropped, it is killed, unless it was told to leave by itself.
pub(super) struct Placeholder {
    pid: u32,
    leaves_by_itself: bool,
}

impl Placeholder {
    /// Starts it as a child of this process, with which it ends at the latest.
    pub(super) fn start() -> Result<Placeholder> {
        match fork(CloneFlags::empty(), None, Kinship::Child).context(|| "fork")? {
            Forked::Child => {
                stay();
                exit(0)
            }
            Forked::Parent { pid, .. } => Ok(Placeholder { pid, leaves_by_itself: false }),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until systemd has put it into the scope `unit`, and returns the place of that below
    /// the top of the hierarchy.
    pub(super) fn wait_until_in(&self, unit: &str, patience: Duration) -> Result<PathBuf> {
        let path = format!("/proc/{}/cgroup", self.pid);
        let found = file::wait_for(patience, || {
            let text = file::read_path(Path::new(&path)).context(|| format!("open {path}"))?;
            Ok(own_cgroup(&text).filter(|cgroup| cgroup.ends_with(unit)))
        })?;
        found.ok_or_else(|| {
            Error::state(format!("timeout waiting for systemd to create the scope {unit:?}"))
        })
    }

    /// Lets it go on until the container's process is there; it notices that itself.
    pub(super) fn leave_when_joined(mut self) {
        self.leaves_by_itself = true;
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        if self.leaves_by_itself {
            return;
        }
        if let Some(pid) = Pid::from_raw(self.pid.cast_signed()) {
            // A child that has not been waited for keeps its number.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        }
    }
}

/// What the placeholder does: wait until its cgroup has another process.
fn stay() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let begin = Instant::now();
    let Ok(before) = file::read_path(Path::new("/proc/self/cgroup")) else { return };
    while begin.elapsed() < LONGEST_STAY {
        std::thread::sleep(PAUSE);
        let Ok(now) = file::read_path(Path::new("/proc/self/cgroup")) else { return };
        if now != before && has_company(&now) {
            return;
        }
    }
}

fn has_company(cgroup_file: &str) -> bool {
    let Ok(hierarchies) = super::hierarchy::detect() else { return true };
    let (Some(own), [hierarchy]) = (own_cgroup(cgroup_file), hierarchies.as_slice()) else {
        return true;
    };
    let directory = hierarchy.mount_point.join(own);
    processes::pids(&directory, false).is_ok_and(|pids| pids.len() > 1)
}

/// The v2 cgroup in the text of `/proc/PID/cgroup`, without its leading slash.
fn own_cgroup(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from(path))
}
