//! What every run of a container is made from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Pid;

use super::Environment;
use super::checkpoint::{Checkpoint, Work};
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

/// What an init is made of.
pub(super) enum Source {
    /// The bundle alone; it waits to be let go then.
    Bundle,
    /// The files of a checkpoint; it goes on at once.
    Checkpoint(Checkpoint),
}

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
    /// The directory with its config.json.
    pub(super) bundle: PathBuf,
    /// Where criu's own files go, if the caller has said.
    pub(super) criu_work: Option<PathBuf>,
    /// Where it all happens.
    pub(super) environment: Arc<Environment>,
}

impl Blueprint {
    /// Has the runtime make the container, all but started. Takes everything back if a step fails.
    pub(super) async fn make_run(&self) -> Result<(Run, ExitReceiver)> {
        let init = self.plan_init()?;
        let (pid, ended) = match self.make_init(&init, &Source::Bundle).await {
            Ok(made) => made,
            Err(error) => {
                init.io.close();
                return Err(error);
            }
        };
        // It has no other state before; nobody knows of it yet.
        let turn = init.begin(Action::Start).await?;
        init.set_state(State::Created { pid }, &turn);
        drop(turn);
        Ok((Run::new(init), ended))
    }

    /// An init that doesn't exist yet.
    pub(super) fn plan_init(&self) -> Result<Process> {
        let policy =
            Policy { log: self.log.clone(), stdin_once: self.stdin_once, owner: self.owner };
        Process::new(self.stdio.clone(), policy)
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

    /// Where criu's own files are wanted.
    pub(super) fn criu_work(&self) -> Option<&Path> {
        self.criu_work.as_deref()
    }

    /// Has the runtime make the init; returns its pid, and what will tell its end.
    pub(super) async fn make_init(
        &self,
        init: &Process,
        source: &Source,
    ) -> Result<(u32, ExitReceiver)> {
        let launch = self.launch();
        // A runtime that fails undoes what it did. It may have failed because the container exists
        // under another shim: nothing may be deleted here.
        let (pid, begun) = self.launch_init(init, source, &launch).await?;
        let ended = match begun.and_then(|()| launch.adopt(pid)) {
            Ok(ended) => ended,
            Err(error) => {
                let _ = self.runtime.delete(&launch, true).await;
                return Err(error);
            }
        };
        Ok((pid.as_raw_nonzero().get().unsigned_abs(), ended))
    }

    /// Returns the init's pid, and whether its streams work.
    async fn launch_init(
        &self,
        init: &Process,
        source: &Source,
        launch: &Launch,
    ) -> Result<(Pid, Result<()>)> {
        let io = &init.io;
        io.prepare(launch, &self.environment.namespace, &self.id).await?;
        if init.stdio.terminal {
            let console = ConsoleSocket::bind(self.environment.console_path())?;
            let path = Some(console.path().to_owned());
            let pid = self.call(source, launch, ChildStdio::null(), path.as_deref()).await?;
            return Ok((pid, console.receive().await.and_then(|master| io.begin_terminal(master))));
        }
        let (theirs, ours) = io.open_pipes()?;
        if self.log.is_some() {
            ours.output()?.note(&self.bundle)?;
        }
        let pid = self.call(source, launch, theirs, None).await?;
        Ok((pid, io.begin(ours)))
    }

    async fn call(
        &self,
        source: &Source,
        launch: &Launch,
        stdio: ChildStdio,
        console: Option<&Path>,
    ) -> Result<Pid> {
        match source {
            Source::Bundle => self.runtime.create(launch, stdio, console).await,
            Source::Checkpoint(Checkpoint { images }) => {
                let work = Work::make(self.criu_work(), &self.bundle)?;
                let restored = self.runtime.restore(launch, images, work.path(), stdio, console);
                let pid = restored.await?;
                work.clear();
                Ok(pid)
            }
        }
    }
}
