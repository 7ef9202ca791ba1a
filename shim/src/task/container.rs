//! A container under this shim: its present run, and all that stays from one run to the next.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost_types::Any;
use tokio::sync::watch;

use super::blueprint::Blueprint;
use super::checkpoint::Checkpoint;
use super::exec::Exec;
use super::health::HealthMonitor;
use super::is_valid_id;
use super::limits::Limits;
use super::process::Process;
use super::restart::Restarts;
use super::run::{Moment, Run};
use super::situation::{Phase, Situation};
use super::state::{Action, State};
use crate::cgroup::Cgroups;
use crate::error::{Error, Result};
use crate::io::{Policy, StdioRequest};
use crate::metrics::measure;
use crate::mount::Rootfs;
use crate::publish::Event;
use crate::record::Record;

/// How long `delete` waits for a reader of the output that isn't ours.
pub(super) const DELETE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a killed init may take to end.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// SIGKILL's number.
pub(super) const KILL: u32 = 9;

/// How runtimes say that there is nothing left to kill: runc, crun, the kernel.
const GONE: [&str; 4] = ["already finished", "not running", "o such process", "stopped container"];

/// A container.
pub(crate) struct Task {
    /// Its id.
    pub(crate) id: String,
    /// The directory with its config.json.
    pub(crate) bundle: PathBuf,
    /// What its runs are made from.
    pub(super) blueprint: Blueprint,
    pub(super) rootfs: Option<Rootfs>,
    pub(super) record: Record,
    pub(super) shares_pid_namespace: bool,
    /// What its first run is made of when it is started, if it isn't made before.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Limits that have changed since the bundle was written.
    pub(super) limits: Limits,
    /// The run that there is, or that was the last one.
    pub(super) run: Mutex<Arc<Run>>,
    pub(super) restarts: Mutex<Restarts>,
    /// Who finds out how it is, if anyone.
    pub(super) health: Option<HealthMonitor>,
    /// `None` once it is deleted.
    pub(super) situation: watch::Sender<Option<Situation>>,
    /// Held by the one who makes a run or takes one down.
    pub(super) making: tokio::sync::Mutex<()>,
}

impl Task {
    /// The run that there is, or that was the last one.
    pub(crate) fn run(&self) -> Arc<Run> {
        Arc::clone(&self.run.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets the init go for the first time; returns its pid.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<u32> {
        let run = self.run();
        let turn = run.init.begin(Action::Start).await?;
        if let Some(checkpoint) = &self.checkpoint {
            return self.restore(&run, checkpoint, &turn).await;
        }
        let (pid, moment) = (run.init.state().pid(), Moment::now());
        self.blueprint.runtime.start(&self.blueprint.launch()).await?;
        run.init.set_state(State::Running { pid }, &turn);
        let started_at = run.begin(moment);
        self.begin_health(&run);
        self.enter(Phase::Running { pid, started_at });
        self.publish(Event::Start { container_id: self.id.clone(), pid });
        Ok(pid)
    }

    /// Describes another process for the container. It can be attached to, and then started.
    pub(crate) fn add_exec(&self, id: &str, stdio: StdioRequest, spec: &[u8]) -> Result<()> {
        if !is_valid_id(id) {
            return Err(Error::invalid(format!("{id:?} is no exec id")));
        }
        let run = self.run();
        run.init.state().allow(Action::Exec)?;
        let policy = Policy { log: None, stdin_once: true, owner: self.blueprint.owner };
        run.add_exec(Exec::new(id.to_owned(), Process::new(stdio, policy)?, spec)?)?;
        self.publish(Event::ExecAdded { container_id: self.id.clone(), exec_id: id.to_owned() });
        Ok(())
    }

    /// Runs an exec; returns its pid.
    pub(crate) async fn start_exec(self: &Arc<Self>, id: &str) -> Result<u32> {
        let run = self.run();
        run.exec(id)?.start(self, &run).await
    }

    /// Forgets an exec that has ended, or was never started; returns where it was in its life.
    pub(crate) async fn delete_exec(&self, id: &str) -> Result<State> {
        let run = self.run();
        let exec = run.exec(id)?;
        let turn = exec.process.begin(Action::Delete).await?;
        let state = exec.process.state();
        if matches!(state, State::Stopped { .. }) {
            exec.process.io.complete(DELETE_PATIENCE).await;
        }
        run.remove_exec(id);
        drop(turn);
        exec.process.io.close();
        Ok(state)
    }

    /// Freezes the container.
    pub(crate) async fn pause(self: &Arc<Self>) -> Result<()> {
        let run = self.run();
        let turn = run.init.begin(Action::Pause).await?;
        // A probe that is frozen can't be killed everywhere.
        self.stop_health();
        let paused = self.blueprint.runtime.pause(&self.blueprint.launch()).await;
        if paused.is_err() {
            self.resume_health(&run);
        }
        paused?;
        run.init.set_state(State::Paused { pid: run.init.state().pid() }, &turn);
        self.tell_health();
        self.publish(Event::Paused { container_id: self.id.clone() });
        Ok(())
    }

    /// Lets it go on.
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<()> {
        let run = self.run();
        let turn = run.init.begin(Action::Resume).await?;
        self.blueprint.runtime.resume(&self.blueprint.launch()).await?;
        run.init.set_state(State::Running { pid: run.init.state().pid() }, &turn);
        self.resume_health(&run);
        self.publish(Event::Resumed { container_id: self.id.clone() });
        Ok(())
    }

    /// Changes its limits to `resources`, OCI LinuxResources as JSON, in this run and all later
    /// ones. Between two runs only those to come are left.
    pub(crate) async fn update(&self, resources: &[u8]) -> Result<()> {
        let _making = self.making.lock().await;
        if !self.is_waiting() {
            let run = self.run();
            let _turn = run.init.begin(Action::Update).await?;
            self.blueprint.runtime.update(&self.blueprint.launch(), resources).await?;
        }
        self.limits.add(resources)
    }

    /// Sends a signal to its init, or to all of its processes. Waits for nobody's turn: a kill is
    /// what ends a start that hangs.
    pub(crate) async fn kill(&self, signal: u32, all: bool) -> Result<()> {
        self.run().init.state().allow(Action::Kill)?;
        let killed = self.blueprint.runtime.kill(&self.blueprint.launch(), signal, all).await;
        killed.map_err(|error| {
            let text = error.to_string();
            if GONE.iter().any(|phrase| text.contains(phrase)) {
                Error::not_found("process already finished")
            } else if text.contains("does not exist") {
                Error::not_found(format!("no such container {}", self.id))
            } else {
                error
            }
        })
    }

    /// The pids of its processes, as the host counts them.
    pub(crate) async fn pids(&self) -> Result<Vec<u32>> {
        match self.run().init.state() {
            State::Added | State::Stopped { .. } => Ok(Vec::new()),
            State::Created { .. } | State::Running { .. } | State::Paused { .. } => {
                self.blueprint.runtime.pids(&self.blueprint.launch()).await
            }
        }
    }

    /// What it uses of the machine.
    pub(crate) fn stats(&self) -> Result<Any> {
        let cgroups = match self.run().init.state() {
            State::Added | State::Stopped { .. } => None,
            State::Created { pid } | State::Running { pid } | State::Paused { pid } => {
                Cgroups::of_process(pid)
            }
        };
        let cgroups = cgroups.ok_or_else(|| Error::not_found("the container isn't running"))?;
        Ok(measure(&cgroups))
    }

    /// A place for a console socket.
    pub(super) fn console_path(&self) -> PathBuf {
        self.blueprint.environment.console_path()
    }

    pub(super) fn publish(&self, event: Event) {
        self.blueprint.environment.publisher.publish(event);
    }
}
