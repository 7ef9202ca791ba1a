//! What every run of a container is made from.

use std::sync::Arc;

use rustix::process::Pid;

use super::Environment;
use super::container::KILL_PATIENCE;
use super::process::Process;
use super::run::Run;
use super::state::{Action, State};
use crate::error::Result;
use crate::io::console::ConsoleSocket;
use crate::io::log::Log;
use crate::io::{ChildStdio, Owner, Policy, StdioRequest};
use crate::reaper::{ExitReceiver, Launch};
use crate::runtime::Runtime;

/// What stays the same from one run to the next.
pub(super) struct Blueprint {
    /// The container's id.
    pub(super) id: String,
    /// Who makes the runs.
    pub(super) runtime: Runtime,
    /// What was asked for the init's streams.
    pub(super) stdio: StdioRequest,
    /// Where its output is logged; all runs write the same log.
    pub(super) log: Option<Log>,
    /// End the init's input with its first client.
    pub(super) stdin_once: bool,
    /// Who owns the pipes.
    pub(super) owner: Owner,
    /// Where it all happens.
    pub(super) environment: Arc<Environment>,
}

impl Blueprint {
    /// Has the runtime make the container, all but started. Takes everything back if a step fails.
    pub(super) async fn make_run(&self) -> Result<(Run, ExitReceiver)> {
        let policy =
            Policy { log: self.log.clone(), stdin_once: self.stdin_once, owner: self.owner };
        let init = Process::new(self.stdio.clone(), policy)?;
        match self.make_init(&init).await {
            Ok(ended) => Ok((Run::new(init), ended)),
            Err(error) => {
                init.io.close();
                Err(error)
            }
        }
    }

    /// Takes back a run that was made and never let go.
    pub(super) async fn discard(&self, run: &Run, ended: ExitReceiver) {
        // What it can't do, the next call of the runtime will complain of.
        let _ = self.runtime.delete(&self.launch(), true).await;
        let _ = tokio::time::timeout(KILL_PATIENCE, ended).await;
        run.close();
    }

    /// The right to launch processes.
    pub(super) fn launch(&self) -> Launch {
        self.environment.reaper.launch()
    }

    async fn make_init(&self, init: &Process) -> Result<ExitReceiver> {
        let launch = self.launch();
        // A runtime that fails undoes what it did. It may have failed because the container exists
        // under another shim: nothing may be deleted here.
        let (pid, begun) = self.create(init, &launch).await?;
        let ended = match begun.and_then(|()| launch.adopt(pid)) {
            Ok(ended) => ended,
            Err(error) => {
                let _ = self.runtime.delete(&launch, true).await;
                return Err(error);
            }
        };
        // It has no other state before; nobody knows of it yet.
        let turn = init.begin(Action::Start).await?;
        init.set_state(State::Created { pid: pid.as_raw_nonzero().get().unsigned_abs() }, &turn);
        Ok(ended)
    }

    /// Returns the init's pid, and whether its streams work.
    async fn create(&self, init: &Process, launch: &Launch) -> Result<(Pid, Result<()>)> {
        let io = &init.io;
        io.prepare(launch, &self.environment.namespace, &self.id).await?;
        if init.stdio.terminal {
            let console = ConsoleSocket::bind(self.environment.console_path())?;
            let path = Some(console.path().to_owned());
            let pid = self.runtime.create(launch, ChildStdio::null(), path.as_deref()).await?;
            return Ok((pid, console.receive().await.and_then(|master| io.begin_terminal(master))));
        }
        let (theirs, ours) = io.open_pipes()?;
        let pid = self.runtime.create(launch, theirs, None).await?;
        Ok((pid, io.begin(ours)))
    }
}
