//! A process that is run in a container beside its init.

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open};
use tokio::sync::MutexGuard;

use super::blueprint::Blueprint;
use super::container::{KILL, Task};
use super::process::Process;
use super::run::Run;
use super::state::{Action, State};
use crate::error::{Error, Result};
use crate::io::console::ConsoleSocket;
use crate::linux;
use crate::publish::Event;
use crate::reaper::{Exit, ExitReceiver};

/// How an exec that couldn't be started is said to have ended.
const FAILED_STATUS: u32 = 255;

/// An exec'd process.
pub(crate) struct Exec {
    /// The name its caller gave it.
    pub(crate) id: String,
    /// What it has in common with others.
    pub(crate) process: Process,
    /// The OCI process object, as JSON.
    spec: Vec<u8>,
    /// Names the process even when its pid is another's by now.
    handle: Mutex<Option<OwnedFd>>,
}

impl Exec {
    /// Describes a process; `spec` is an OCI process object as JSON.
    pub(crate) fn new(id: String, process: Process, spec: &[u8]) -> Result<Self> {
        let spec = with_terminal(spec, process.stdio.terminal)?;
        Ok(Exec { id, process, spec, handle: Mutex::default() })
    }

    /// Runs it; returns its pid.
    pub(crate) async fn start(self: &Arc<Self>, task: &Arc<Task>, run: &Run) -> Result<u32> {
        let turn = self.process.begin(Action::Start).await?;
        run.init.state().allow(Action::Exec)?;
        match self.run(task, &turn).await {
            Ok(pid) => {
                let (container_id, exec_id) = (task.id.clone(), self.id.clone());
                task.publish(Event::ExecStarted { container_id, exec_id, pid });
                Ok(pid)
            }
            Err(error) => {
                let exit = Exit { status: FAILED_STATUS, at: SystemTime::now() };
                self.process.fail(exit, &turn);
                Err(error)
            }
        }
    }

    async fn run(self: &Arc<Self>, task: &Arc<Task>, turn: &MutexGuard<'_, ()>) -> Result<u32> {
        let Blueprint { runtime, environment, .. } = &task.blueprint;
        let launch = environment.reaper.launch();
        let io = &self.process.io;
        io.prepare(&launch, &environment.namespace, &task.id).await?;
        let (pid, begun) = if self.process.stdio.terminal {
            let console = ConsoleSocket::bind(task.console_path())?;
            let stdio = crate::io::ChildStdio::null();
            let path = Some(console.path().to_owned());
            let pid = runtime.exec(&launch, &self.spec, stdio, path.as_deref()).await?;
            (pid, console.receive().await.and_then(|master| io.begin_terminal(master)))
        } else {
            let (theirs, ours) = io.open_pipes()?;
            let pid = runtime.exec(&launch, &self.spec, theirs, None).await?;
            (pid, io.begin(ours))
        };
        let ended = launch.adopt(pid)?;
        // A process that is a zombie still has a handle; one that is reaped needs none.
        *self.lock_handle() = pidfd_open(pid, PidfdFlags::empty()).ok();
        if let Err(error) = begun {
            let _ = self.signal(KILL);
            return Err(error);
        }
        let number = pid.as_raw_nonzero().get().unsigned_abs();
        self.process.set_state(State::Running { pid: number }, turn);
        tokio::spawn(Arc::clone(self).supervise(Arc::clone(task), ended));
        Ok(number)
    }

    async fn supervise(self: Arc<Self>, task: Arc<Task>, ended: ExitReceiver) {
        let Ok(exit) = ended.await else { return };
        self.lock_handle().take();
        self.process.finish(exit, || {}).await;
        let (container_id, id) = (task.id.clone(), self.id.clone());
        task.publish(Event::Exit { container_id, id, pid: self.process.state().pid(), exit });
    }

    /// Sends a signal.
    pub(crate) fn kill(&self, signal: u32) -> Result<()> {
        self.process.state().allow(Action::Kill)?;
        self.signal(signal)
    }

    fn signal(&self, signal: u32) -> Result<()> {
        let finished = || Error::not_found("process already finished");
        let number = i32::try_from(signal).unwrap_or(i32::MAX);
        let sent = match self.lock_handle().as_ref() {
            Some(handle) => linux::send_signal(handle.as_fd(), number),
            None => return Err(finished()),
        };
        sent.map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => Error::invalid(format!("there is no signal {signal}")),
            _ if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => finished(),
            _ => Error::unknown(format!("send signal {signal}: {error}")),
        })
    }

    fn lock_handle(&self) -> std::sync::MutexGuard<'_, Option<OwnedFd>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The spec with its `terminal` member as the request has it: containerd's callers set it there.
pub(super) fn with_terminal(spec: &[u8], terminal: bool) -> Result<Vec<u8>> {
    let broken = |error| Error::invalid(format!("the exec's spec is no OCI process: {error}"));
    let mut spec: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(spec).map_err(broken)?;
    spec.insert("terminal".to_owned(), terminal.into());
    serde_json::to_vec(&spec).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_decides_about_the_terminal() {
        let spec = with_terminal(br#"{"args":["ls"],"terminal":false}"#, true).unwrap();
        let spec: serde_json::Value = serde_json::from_slice(&spec).unwrap();
        assert_eq!(spec, serde_json::json!({"args": ["ls"], "terminal": true}));
        assert!(with_terminal(b"[]", true).is_err());
    }
}
