//! Which process is a container's init: an id alone is not enough, since ids are used again.

use crate::error::{Error, Kind, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

/// A process, told apart from later ones with the same id by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Its id in the runtime's pid namespace.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) start_time: u64,
}

/// What /proc/<pid>/stat says of a process.
struct Stat {
    state: u8,
    start_time: u64,
}

impl Identity {
    /// No process: there is none yet.
    pub(crate) const NONE: Identity = Identity { pid: 0, start_time: 0 };

    /// The process that has the id `pid` now.
    pub(crate) fn of(pid: u32) -> Result<Identity> {
        let stat = read_stat(pid).ok_or_else(gone)?;
        Ok(Identity { pid, start_time: stat.start_time })
    }

    /// Whether the process still runs; one that has ended but is not reaped yet does not.
    pub(crate) fn is_alive(&self) -> bool {
        read_stat(self.pid).is_some_and(|stat| {
            stat.start_time == self.start_time && !matches!(stat.state, b'Z' | b'X' | b'x')
        })
    }

    /// A descriptor of the process, which stays with it even if its id is used again.
    pub(crate) fn open(&self) -> Result<OwnedFd> {
        let pid = Pid::from_raw(self.pid as i32).ok_or_else(gone)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| match errno {
            rustix::io::Errno::SRCH => gone(),
            other => Error::system(format!("open process {}", self.pid), other),
        })?;
        // Looked at only now, with the descriptor held: it is the right process or none.
        if self.is_alive() { Ok(pidfd) } else { Err(gone()) }
    }
}

/// Sends the signal number `signal`, where 0 sends none, to the process behind `pidfd`.
pub(crate) fn send_signal(pidfd: &OwnedFd, signal: i32) -> Result<()> {
    // 0 and the realtime signals are plain numbers to the kernel, which checks them.
    match crate::linux::system::pidfd_send_signal(pidfd, signal) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(gone()),
        Err(error) => Err(Error::system("unable to signal init", error)),
    }
}

/// The number of SIGKILL.
pub(crate) const SIGKILL: i32 = Signal::KILL.as_raw();

fn gone() -> Error {
    Error::new(Kind::State, "container not running")
}

fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The state and the start time (fields 3 and 22). The second field, a name in brackets, may hold
/// anything, brackets and blanks too; the fields after the last bracket are plain.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_brackets_does_not_confuse() {
        let line = b"7 (a) R 1 (x) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 5555 1 2 3";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.state, stat.start_time), (b'S', 5555));
        assert!(parse_stat(b"7 (a").is_none());
        assert!(parse_stat(b"").is_none());
    }

    #[test]
    fn this_process_is_alive_and_another_start_time_is_not() {
        let me = Identity::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        let other = Identity { start_time: me.start_time + 1, ..me };
        assert!(!other.is_alive());
        assert_eq!(other.open().unwrap_err().to_string(), "container not running");
    }

    proptest::proptest! {
        #![proptest_config(crate::fuzz::settings())]

        #[test]
        fn fuzz_stat(line in crate::fuzz::mutated(
            b"7 (a) R 1 (x) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 0 20 0 1 0 5555 1 2 3",
        )) {
            let _ = parse_stat(&line);
        }
    }
}
