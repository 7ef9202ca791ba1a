//! The v1 freezer.
//!
//! Unlike the one of v2, it can miss a process that another one starts at the same moment, and then
//! stays on the way (`FREEZING`). Writing `FROZEN` again makes it look again; now and then letting
//! everything run for a moment helps where new processes keep coming.

use std::path::Path;
use std::time::{Duration, Instant};

use super::super::file;
use crate::error::{Error, Result};

const STATE: &str = "freezer.state";

/// How long freezing may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many times the kernel is asked before the processes are let go for a moment.
const ATTEMPTS_IN_A_ROW: u32 = 50;

/// Stops all processes; on failure lets them go on, for a half-frozen container is worse.
pub(super) fn freeze(directory: &Path) -> Result<()> {
    let outcome = insist(directory);
    if outcome.is_err() {
        // The first error tells more than a failure to clean up after it.
        let _ = thaw(directory);
    }
    outcome
}

fn insist(directory: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for attempt in 1.. {
        file::write(directory, STATE, "FROZEN")?;
        if file::read(directory, STATE)? == "FROZEN" {
            return Ok(());
        }
        if Instant::now() >= deadline {
            break;
        }
        if attempt % ATTEMPTS_IN_A_ROW == 0 {
            thaw(directory)?;
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Err(Error::state(format!(
        "unable to freeze {}: its processes did not stop within {} s",
        directory.display(),
        PATIENCE.as_secs()
    )))
}

/// Lets all processes go on.
pub(super) fn thaw(directory: &Path) -> Result<()> {
    file::write(directory, STATE, "THAWED")
}

/// Whether the processes are to be stopped, by this cgroup itself and not by one above it. Those of
/// a cgroup that is gone are not.
pub(super) fn is_frozen(directory: &Path) -> Result<bool> {
    let freezing = file::read_unless_gone(directory, "freezer.self_freezing")?;
    Ok(freezing.is_some_and(|text| text == "1"))
}

/// Whether a process that enters is stopped at once, by this cgroup or by one above it.
pub(super) fn stops_newcomers(directory: &Path) -> Result<bool> {
    Ok(file::read(directory, STATE)? != "THAWED")
}
