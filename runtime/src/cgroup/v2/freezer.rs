//! The v2 freezer.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::super::file;
use crate::error::{Context, Error, Result};

const FREEZE: &str = "cgroup.freeze";
const EVENTS: &str = "cgroup.events";

/// How long freezing may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stops all processes; on failure lets them go on, for a half-frozen container is worse.
pub(super) fn freeze(directory: &Path) -> Result<()> {
    // Opened before the request, so that no change after it is missed.
    let events = File::open(directory.join(EVENTS))
        .context(|| format!("open {}", directory.join(EVENTS).display()))?;
    file::write(directory, FREEZE, "1")?;
    let outcome = wait_until_frozen(directory, &events);
    if outcome.is_err() {
        // The first error tells more than a failure to clean up after it.
        let _ = thaw(directory);
    }
    outcome
}

/// The kernel marks `cgroup.events` as exceptional (`POLLPRI`) each time it changes.
fn wait_until_frozen(directory: &Path, events: &File) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = file::read_open(events.as_fd())
            .map_err(|error| file::unreadable(directory, EVENTS, error))?;
        if file::pairs(&text).any(|(key, value)| key == "frozen" && value == 1) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::state(format!(
                "unable to freeze {}: its processes did not stop within {} s",
                directory.display(),
                PATIENCE.as_secs()
            )));
        }
        file::wait_for_change(&mut [PollFd::new(events, PollFlags::PRI)], left)?;
    }
}

/// Lets all processes go on.
pub(super) fn thaw(directory: &Path) -> Result<()> {
    file::write(directory, FREEZE, "0")
}

/// Whether the processes are to be stopped, by this cgroup itself and not by one above it. The
/// kernel's `frozen` is no answer: it goes away for a moment each time a stopped process gets a
/// signal. Those of a cgroup that is gone are not.
pub(super) fn is_frozen(directory: &Path) -> Result<bool> {
    Ok(file::read_unless_gone(directory, FREEZE)?.is_some_and(|text| text == "1"))
}

/// Whether a process that enters is stopped at once, by this cgroup or by one above it. An empty
/// cgroup counts as frozen as soon as it is to be.
pub(super) fn stops_newcomers(directory: &Path) -> Result<bool> {
    let text = file::read_if_there(directory, EVENTS)?.unwrap_or_default();
    Ok(file::pairs(&text).any(|(key, value)| key == "frozen" && value == 1))
}
