//! A container from its making to its end.
//!
//! [`create`] makes one from a [`bundle`]; from then on it is what its directory in the [`store`]
//! says. Every command opens it anew, looks at its [`status`] and does one thing.

pub(crate) mod bundle;
pub(crate) mod checkpoint;
pub(crate) mod clock;
pub(crate) mod create;
mod delegation;
pub(crate) mod delete;
pub(crate) mod dialect;
pub(crate) mod exec;
mod external;
pub(crate) mod foreground;
#[cfg(test)]
mod fuzz;
mod hook_process;
pub(crate) mod hooks;
pub(crate) mod id;
pub(crate) mod identity;
pub(crate) mod key_case;
mod maker;
pub(crate) mod notify;
mod plan;
pub(crate) mod record;
pub(crate) mod relay;
pub(crate) mod restore;
mod rootless;
pub(crate) mod status;
pub(crate) mod store;
mod validate;

use crate::cgroup::Watch;
use crate::cgroup::stats::Stats;
use crate::error::{Error, Kind, Result};
use crate::log::{Level, Log};
use bundle::parse;
use hooks::DefaultEnv;
use id::ContainerId;
use identity::{SIGKILL, send_signal};
use notify::{Readiness, Supervisor};
use oci_spec::runtime::{LinuxResources, Spec};
use record::{Record, to_json};
use status::{Action, Status};
use std::path::Path;
use store::StateDir;

/// A container that is there.
#[derive(Debug)]
pub(crate) struct Container {
    dir: StateDir,
    record: Record,
}

impl Container {
    /// Opens the container `id` below `root`.
    pub(crate) fn open(root: &Path, id: &str) -> Result<Container> {
        let dir = StateDir::open(root, &ContainerId::parse(id)?)?;
        let record = dir.load()?;
        Ok(Container { dir, record })
    }

    /// What it is doing.
    pub(crate) fn status(&self) -> Result<Status> {
        self.dir.status(&self.record)
    }

    /// The container as its state file has it.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Gives up what was opened, for showing.
    pub(crate) fn into_record(self) -> Record {
        self.record
    }

    /// The configuration that it was created from.
    pub(crate) fn spec(&self) -> Result<Spec> {
        Ok(parse(&self.dir.load_config()?)?.0)
    }

    /// Listens for its word that it is ready, if the caller has a supervisor that wants to know.
    pub(crate) fn listen(&self) -> Result<Option<Readiness>> {
        match Supervisor::of_caller() {
            Some(supervisor) => supervisor.listen(&self.dir),
            None => Ok(None),
        }
    }

    /// Waits until it says that it is ready, or has ended.
    pub(crate) fn wait_until_ready(&self, readiness: &Readiness, log: &Log) -> Result<()> {
        match self.record.init.open() {
            Ok(pidfd) => readiness.wait(&pidfd, self.record.init.pid, log),
            // It has ended already.
            Err(error) if error.kind() == Kind::State => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lets its program run.
    pub(crate) fn start(&self, log: &Log) -> Result<()> {
        self.dir.lock()?;
        self.status()?.allows(Action::Start)?;
        let gate = self.dir.open_gate()?;
        let spec = self.spec()?;
        let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.poststart().as_deref());
        let Some(hooks) = hooks.filter(|hooks| !hooks.is_empty()) else { return Ok(()) };
        gate.wait_for_program()?;
        let state = self.record.oci_state(Status::Running, self.record.init.pid)?;
        hooks::run("poststart", hooks, &to_json(&state)?, DefaultEnv::Inherit).inspect_err(|_| {
            // A container whose start has failed is no more.
            let ended = self.end_init().and_then(|()| self.remove(log));
            if let Err(error) = ended {
                log.write(Level::Warning, &error.to_string());
            }
        })
    }

    /// Sends a signal to its first process; SIGKILL reaches all its processes.
    pub(crate) fn kill(&self, signal: i32) -> Result<()> {
        let has_cgroup = !self.record.cgroup.is_none();
        if signal == SIGKILL && !self.record.own_pid_namespace && has_cgroup {
            // Its other processes do not end with the first, and may be there without it.
            self.record.cgroup.kill_all(signal)?;
            return match self.signal_init(signal) {
                // It was gone before, or has gone with the others.
                Err(error) if error.kind() == Kind::State => Ok(()),
                outcome => outcome,
            };
        }
        self.signal_init(signal)
    }

    fn signal_init(&self, signal: i32) -> Result<()> {
        send_signal(&self.record.init.open()?, signal)?;
        if signal == SIGKILL && self.record.cgroup.is_frozen()? {
            // A frozen process does not even die on cgroup v1.
            return match self.record.cgroup.thaw() {
                // Whoever waits for its end has removed the cgroup meanwhile.
                Err(_) if !self.record.cgroup.is_frozen()? => Ok(()),
                outcome => outcome,
            };
        }
        Ok(())
    }

    /// Freezes all its processes.
    pub(crate) fn pause(&self) -> Result<()> {
        self.status()?.allows(Action::Pause)?;
        self.record.cgroup.freeze()
    }

    /// Lets all its processes go on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.status()?.allows(Action::Resume)?;
        self.record.cgroup.thaw()
    }

    /// Changes its limits.
    pub(crate) fn update(&self, resources: &LinuxResources) -> Result<()> {
        self.status()?.allows(Action::Update)?;
        self.record.cgroup.update(resources)
    }

    /// Changes its share of the cache and of the memory's bandwidth.
    pub(crate) fn update_resctrl(&self, lines: &[&str]) -> Result<()> {
        self.status()?.allows(Action::Update)?;
        let group = self.record.resctrl.as_ref().ok_or_else(|| {
            Error::unsupported("the container was created without intelRdt, which stays so")
        })?;
        group.update(lines)
    }

    /// What it has used.
    pub(crate) fn stats(&self) -> Result<Stats> {
        self.record.cgroup.stats()
    }

    /// A watch for its running out of memory.
    pub(crate) fn watch_memory(&self) -> Result<Watch> {
        self.record.cgroup.watch_memory()
    }

    /// The ids of all its processes.
    pub(crate) fn processes(&self) -> Result<Vec<u32>> {
        self.record.cgroup.pids(true)
    }
}
