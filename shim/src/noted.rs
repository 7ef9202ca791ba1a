//! Which process the server is: noted in its bundle, so that `delete` can end one that has stopped
//! answering, and with it all that it holds, ports above all.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};

const FILE_NAME: &str = "server.json";
/// How long a killed server may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process, told from any other that had its pid before, has it later, or had it before the
/// machine was started anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Server {
    pid: i32,
    /// When it started, in the kernel's own unit.
    start_time: u64,
    boot_id: String,
}

impl Server {
    /// Who has this pid now.
    fn of(pid: Pid) -> Result<Self> {
        let number = pid.as_raw_nonzero().get();
        let path = format!("/proc/{number}/stat");
        let what = || format!("read {path}");
        let stat = fs::read_to_string(&path).context(what)?;
        let start_time = start_time(&stat).ok_or("it has no start time").context(what)?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .context(|| "read which boot this is".to_owned())?;
        Ok(Self { pid: number, start_time, boot_id: boot_id.trim().to_owned() })
    }
}

/// See proc(5): the 22nd field, of which the second may have anything in it but ends with the last
/// parenthesis.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(22 - 3)?.parse().ok()
}

/// Notes that this process is the server of `bundle`.
pub(crate) fn note(bundle: &Path) -> Result<()> {
    let path = bundle.join(FILE_NAME);
    let what = || format!("write {}", path.display());
    let bytes = serde_json::to_vec(&Server::of(getpid())?).context(what)?;
    let mut options = fs::OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(&bytes)).context(what)
}

/// Kills the server of `bundle`, if it lives, and waits until it is gone.
pub(crate) fn end(bundle: &Path) -> Result<()> {
    let path = bundle.join(FILE_NAME);
    let noted: Server = match fs::read(&path) {
        // One that is half written was cut off by the server's end.
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(noted) => noted,
            Err(_) => return Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(|| format!("read {}", path.display())),
    };
    let Some(pid) = Pid::from_raw(noted.pid) else { return Ok(()) };
    // From here on the handle means one process; whether it is the right one is looked at now.
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if Server::of(pid).ok().as_ref() != Some(&noted) {
        return Ok(());
    }
    let what = || format!("kill the server, process {}", noted.pid);
    match pidfd_send_signal(&handle, Signal::KILL) {
        Ok(()) => {}
        Err(Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error).context(what),
    }
    match ends_soon(&handle).context(what)? {
        true => Ok(()),
        false => Err(Error::unknown(format!("{}: it is still there", what()))),
    }
}

/// The server's end takes this with it.
pub(crate) fn clear(bundle: &Path) {
    let _ = fs::remove_file(bundle.join(FILE_NAME));
}

fn ends_soon(process: &OwnedFd) -> rustix::io::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => {}
            done => return done.map(|ready| ready > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    fn sleeper(bundle: &Path, change: impl FnOnce(&mut Server)) -> Child {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut server = Server::of(Pid::from_child(&child)).unwrap();
        change(&mut server);
        fs::write(bundle.join(FILE_NAME), serde_json::to_vec(&server).unwrap()).unwrap();
        child
    }

    #[test]
    fn a_server_that_is_stopped_is_ended() {
        let bundle = tempfile::tempdir().unwrap();
        let mut child = sleeper(bundle.path(), |_| {});
        rustix::process::kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
        end(bundle.path()).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        // There is none any more, or it is another's pid.
        end(bundle.path()).unwrap();
    }

    #[test]
    fn another_process_of_its_pid_is_let_alone() {
        let bundle = tempfile::tempdir().unwrap();
        let changes: [fn(&mut Server); 2] =
            [|server| server.start_time -= 1, |server| server.boot_id.push('x')];
        for change in changes {
            let mut child = sleeper(bundle.path(), change);
            end(bundle.path()).unwrap();
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn nothing_noted_is_nobody() {
        let bundle = tempfile::tempdir().unwrap();
        end(bundle.path()).unwrap();
        note(bundle.path()).unwrap();
        let noted: Server =
            serde_json::from_slice(&fs::read(bundle.path().join(FILE_NAME)).unwrap()).unwrap();
        assert_eq!(noted, Server::of(getpid()).unwrap());
        fs::write(bundle.path().join(FILE_NAME), b"{\"pid\": 1,").unwrap();
        end(bundle.path()).unwrap();
    }

    #[test]
    fn a_programs_name_may_have_anything_in_it() {
        let stat = format!("1 (a) R (b) S {} 77 0", vec!["0"; 18].join(" "));
        assert_eq!(start_time(&stat), Some(77));
        assert_eq!(start_time("1 (a"), None);
    }
}
