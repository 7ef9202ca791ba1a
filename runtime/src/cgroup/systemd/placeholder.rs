//! The process around which a scope is made, until the container's own is in it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sched::CloneFlags;
use rustix::process::{Pid, Signal, set_parent_process_death_signal};

use super::super::{file, hierarchy, processes};
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
    pub(super) fn start(unit: &str) -> Result<Placeholder> {
        match fork(CloneFlags::empty(), None, Kinship::Child).context(|| "fork")? {
            Forked::Child => {
                stay(unit);
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
            Ok(place_in(&text, unit))
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

/// What the placeholder does: wait until the scope has another process.
fn stay(unit: &str) {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let begin = Instant::now();
    while begin.elapsed() < LONGEST_STAY {
        std::thread::sleep(PAUSE);
        if has_company(unit) {
            return;
        }
    }
}

fn has_company(unit: &str) -> bool {
    let Ok(hierarchies) = hierarchy::detect() else { return true };
    let scopes = hierarchies.iter().filter(|hierarchy| hierarchy.own.ends_with(unit));
    scopes.into_iter().any(|hierarchy| {
        let directory = hierarchy.mount_point.join(&hierarchy.own);
        processes::pids(&directory, false).is_ok_and(|pids| pids.len() > 1)
    })
}

/// Where the scope `unit` is below the top of the hierarchies, if the text of a `/proc/PID/cgroup`
/// has it: systemd uses the same path in all of them.
fn place_in(text: &str, unit: &str) -> Option<PathBuf> {
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2)?.strip_prefix('/'));
    paths.map(PathBuf::from).find(|path| path.ends_with(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_found_in_whatever_hierarchy_has_it() {
        let place = Some(PathBuf::from("system.slice/tare-box.scope"));
        for text in [
            "0::/system.slice/tare-box.scope\n",
            "9:name=systemd:/system.slice/tare-box.scope\n2:cpu:/\n0::/\n",
        ] {
            assert_eq!(place_in(text, "tare-box.scope"), place, "{text}");
        }
        for text in ["", "0::/\n", "1:name=systemd:/x.scope/tare-box.scope2\n", "1:a\n"] {
            assert_eq!(place_in(text, "tare-box.scope"), None, "{text}");
        }
    }
}
