//! A program that keeps a process's logs, by containerd's protocol for logging binaries: it finds
//! standard output at descriptor 3, standard error at 4, and says by closing 5 that it is ready.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::time::timeout;

use super::endpoint::LoggingProgram;
use super::hub::Channel;
use super::take;
use crate::diagnostics::warn;
use crate::error::{Context, Error, Result};
use crate::linux::watch;
use crate::oom;
use crate::reaper::{ExitReceiver, Launch};

/// How long it may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may go on after its input has ended.
const END_PATIENCE: Duration = Duration::from_secs(12);

/// A program that is running.
pub(super) struct Running {
    stdout: Mutex<Option<OwnedFd>>,
    stderr: Mutex<Option<OwnedFd>>,
    end: Mutex<Option<End>>,
}

struct End {
    exited: ExitReceiver,
    handle: OwnedFd,
}

impl Running {
    /// Starts it for a process of the container `id`, and waits until it is ready.
    pub(super) async fn start(
        program: &LoggingProgram,
        launch: &Launch,
        namespace: &str,
        id: &str,
    ) -> Result<Self> {
        let what = || format!("start the logging program {}", program.path.display());
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        let (stdout, our_stdout) = pipe().context(what)?;
        let (stderr, our_stderr) = pipe().context(what)?;
        let (ready, is_ready) = pipe().context(what)?;
        let mut command = Command::new(&program.path);
        command.args(&program.args).env("CONTAINER_ID", id).env("CONTAINER_NAMESPACE", namespace);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        oom::begin_unspared(&mut command);
        let ends = [(stdout, 3), (stderr, 4), (is_ready, 5)];
        let mappings = ends.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
        command.fd_mappings(mappings.into()).context(what)?;
        let (pid, exited) = launch.spawn_known(&mut command).context(what)?;
        // The program's ends of the pipes go with it.
        drop(command);
        let handle = pidfd_open(pid, PidfdFlags::empty()).context(what)?;
        let running = Running {
            stdout: Mutex::new(Some(our_stdout)),
            stderr: Mutex::new(Some(our_stderr)),
            end: Mutex::new(Some(End { exited, handle })),
        };
        let ready = watch(non_blocking(ready).context(what)?, Interest::READABLE).context(what)?;
        let Ok(closed) = timeout(READY_PATIENCE, ready.readable()).await else {
            running.finish();
            let seconds = READY_PATIENCE.as_secs();
            return Err(Error::unknown(format!("{}: it isn't ready after {seconds} s", what())));
        };
        drop(closed.context(what)?);
        Ok(running)
    }

    /// Where one stream is to be written; to be asked for once.
    pub(super) fn input(&self, channel: Channel) -> Result<OwnedFd> {
        let end = match channel {
            Channel::Stdout => take(&self.stdout),
            Channel::Stderr => take(&self.stderr),
        };
        let end = end.ok_or_else(|| Error::unknown("the logging program's input is in use"))?;
        non_blocking(end).context(|| "write to the logging program".to_owned())
    }

    /// Its input ends with this; it gets some time to work it off, and is ended then.
    pub(super) fn finish(&self) {
        drop((take(&self.stdout), take(&self.stderr)));
        let Some(End { exited, handle }) = take(&self.end) else { return };
        tokio::spawn(async move {
            if timeout(END_PATIENCE, exited).await.is_err() {
                warn(format_args!("a logging program doesn't end; it is killed"));
                let _ = pidfd_send_signal(handle, Signal::KILL);
            }
        });
    }
}

/// This end only: the program's stays as it expects it.
fn non_blocking(end: OwnedFd) -> std::io::Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&end, true)?;
    Ok(end)
}
