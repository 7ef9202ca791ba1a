//! A shim's process, held so that its pid can't come to mean another one.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{Error, Result};

/// The process `pid`; `None` if it has gone.
pub(super) fn open(pid: u32) -> Option<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Waits for its end, and kills it if that doesn't come within `patience`.
pub(super) async fn wait(process: OwnedFd, patience: Duration) -> Result<()> {
    let waited = tokio::task::spawn_blocking(move || {
        if !ends_within(&process, patience)? {
            pidfd_send_signal(&process, Signal::KILL)?;
            ends_within(&process, patience)?;
        }
        Ok(())
    });
    waited
        .await
        .map_err(|error| Error::system(format!("wait for a shim to end: {error}")))?
        .map_err(|error: Errno| Error::io("wait for a shim to end", error.into()))
}

fn ends_within(process: &OwnedFd, patience: Duration) -> rustix::io::Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_stays_is_killed() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = open(child.id()).unwrap();
        wait(process, Duration::from_millis(50)).await.unwrap();
        assert!(!child.wait().unwrap().success());
    }
}
