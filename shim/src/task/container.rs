//! A container under this shim: its init, what is exec'd beside it, and all that was made for it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use prost_types::Any;

use super::exec::Exec;
use super::process::Process;
use super::state::{Action, State};
use super::{Environment, is_valid_id};
use crate::cgroup::{Cgroups, OomCounter};
use crate::diagnostics::warn;
use crate::error::{Error, Result};
use crate::io::{Owner, Policy, StdioRequest};
use crate::metrics::measure;
use crate::mount::Rootfs;
use crate::publish::Event;
use crate::reaper::{ExitReceiver, Reaper};
use crate::record::Record;
use crate::runtime::Runtime;

/// How long `delete` waits for a reader of the output that isn't ours.
pub(super) const DELETE_PATIENCE: Duration = Duration::from_secs(10);
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
    /// Its init.
    pub(crate) init: Process,
    pub(super) runtime: Runtime,
    pub(super) reaper: Arc<Reaper>,
    pub(super) environment: Arc<Environment>,
    pub(super) rootfs: Option<Rootfs>,
    pub(super) record: Record,
    pub(super) oom: Option<OomCounter>,
    pub(super) owner: Owner,
    pub(super) shares_pid_namespace: bool,
    pub(super) execs: Mutex<HashMap<String, Arc<Exec>>>,
    /// Held by the one who deletes.
    pub(super) deletion: tokio::sync::Mutex<()>,
}

impl Task {
    /// Lets the init go; returns its pid.
    pub(crate) async fn start(&self) -> Result<u32> {
        let turn = self.init.begin(Action::Start).await?;
        let pid = self.init.state().pid();
        let started_at = SystemTime::now();
        self.runtime.start(&self.reaper.launch()).await?;
        self.init.set_state(State::Running { pid }, &turn);
        if let Err(error) = self.record.started(started_at) {
            warn(format_args!("{error}"));
        }
        self.publish(Event::Start { container_id: self.id.clone(), pid });
        Ok(pid)
    }

    /// Describes another process for the container. It can be attached to, and then started.
    pub(crate) fn add_exec(&self, id: &str, stdio: StdioRequest, spec: &[u8]) -> Result<()> {
        if !is_valid_id(id) {
            return Err(Error::invalid(format!("{id:?} is no exec id")));
        }
        self.init.state().allow(Action::Exec)?;
        let mut execs = self.lock_execs();
        if execs.contains_key(id) {
            return Err(Error::already_exists(format!("exec {id} of {} exists", self.id)));
        }
        let policy = Policy { log: None, stdin_once: true, owner: self.owner };
        let exec = Exec::new(id.to_owned(), Process::new(stdio, policy)?, spec)?;
        execs.insert(id.to_owned(), Arc::new(exec));
        drop(execs);
        self.publish(Event::ExecAdded { container_id: self.id.clone(), exec_id: id.to_owned() });
        Ok(())
    }

    /// An exec by its id.
    pub(crate) fn exec(&self, id: &str) -> Result<Arc<Exec>> {
        let exec = self.lock_execs().get(id).cloned();
        exec.ok_or_else(|| Error::not_found(format!("process does not exist {id}")))
    }

    /// The execs that there are.
    pub(crate) fn execs(&self) -> Vec<Arc<Exec>> {
        self.lock_execs().values().cloned().collect()
    }

    /// Forgets an exec that has ended, or was never started; returns where it was in its life.
    pub(crate) async fn delete_exec(&self, id: &str) -> Result<State> {
        let exec = self.exec(id)?;
        let turn = exec.process.begin(Action::Delete).await?;
        let state = exec.process.state();
        if matches!(state, State::Stopped { .. }) {
            exec.process.io.complete(DELETE_PATIENCE).await;
        }
        self.lock_execs().remove(id);
        drop(turn);
        exec.process.io.close();
        Ok(state)
    }

    /// Freezes the container.
    pub(crate) async fn pause(&self) -> Result<()> {
        let turn = self.init.begin(Action::Pause).await?;
        self.runtime.pause(&self.reaper.launch()).await?;
        self.init.set_state(State::Paused { pid: self.init.state().pid() }, &turn);
        self.publish(Event::Paused { container_id: self.id.clone() });
        Ok(())
    }

    /// Lets it go on.
    pub(crate) async fn resume(&self) -> Result<()> {
        let turn = self.init.begin(Action::Resume).await?;
        self.runtime.resume(&self.reaper.launch()).await?;
        self.init.set_state(State::Running { pid: self.init.state().pid() }, &turn);
        self.publish(Event::Resumed { container_id: self.id.clone() });
        Ok(())
    }

    /// Changes its limits to `resources`, OCI LinuxResources as JSON.
    pub(crate) async fn update(&self, resources: &[u8]) -> Result<()> {
        let _turn = self.init.begin(Action::Update).await?;
        self.runtime.update(&self.reaper.launch(), resources).await
    }

    /// Sends a signal to its init, or to all of its processes. Waits for nobody's turn: a kill is
    /// what ends a start that hangs.
    pub(crate) async fn kill(&self, signal: u32, all: bool) -> Result<()> {
        self.init.state().allow(Action::Kill)?;
        let killed = self.runtime.kill(&self.reaper.launch(), signal, all).await;
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
        match self.init.state() {
            State::Added | State::Stopped { .. } => Ok(Vec::new()),
            State::Created { .. } | State::Running { .. } | State::Paused { .. } => {
                self.runtime.pids(&self.reaper.launch()).await
            }
        }
    }

    /// What it uses of the machine.
    pub(crate) fn stats(&self) -> Result<Any> {
        let cgroups = match self.init.state() {
            State::Added | State::Stopped { .. } => None,
            State::Created { pid } | State::Running { pid } | State::Paused { pid } => {
                Cgroups::of_process(pid)
            }
        };
        let cgroups = cgroups.ok_or_else(|| Error::not_found("the container isn't running"))?;
        Ok(measure(&cgroups))
    }

    /// Waits for the init's end, and sees to all that has to happen then.
    pub(super) async fn supervise(self: Arc<Self>, ended: ExitReceiver) {
        let Ok(exit) = ended.await else { return };
        if self.shares_pid_namespace {
            // Nothing is left to kill where the init was alone.
            let _ = self.runtime.kill(&self.reaper.launch(), KILL, true).await;
        }
        let oom_killed = self.oom.as_ref().is_some_and(OomCounter::has_struck);
        let record = || {
            if let Err(error) = self.record.exited(exit, oom_killed, self.init.io.dropped_lines()) {
                warn(format_args!("{error}; the end of {} isn't on record", self.id));
            }
        };
        self.init.finish(exit, record).await;
        if oom_killed {
            self.publish(Event::OutOfMemory { container_id: self.id.clone() });
        }
        let (container_id, pid) = (self.id.clone(), self.init.state().pid());
        self.publish(Event::Exit { id: container_id.clone(), container_id, pid, exit });
    }

    /// A place for a console socket.
    pub(super) fn console_path(&self) -> PathBuf {
        self.environment.console_path()
    }

    pub(super) fn publish(&self, event: Event) {
        self.environment.publisher.publish(event);
    }

    pub(super) fn lock_execs(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
