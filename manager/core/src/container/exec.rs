//! Processes run beside a container's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::attachment::{self, Attachment, Peer};
use super::backlog::Terms;
use super::entry::{Entry, lock, not_running, restarting};
use super::host_config::TerminalSize;
use super::id::{ContainerId, random_hex};
use super::options::{ExecConfig, ExecStart, ExecState, Output};
use super::record::Container;
use super::rootfs::Rootfs;
use super::spec;
use super::spec::user::Account;
use super::state::{Life, State};
use super::work::{blocking, to_the_end};
use super::{Containers, announce, failure};
use crate::error::{Error, Result};
use crate::shim::{ExecTask, Shim, Target, Wanted};

/// How long one that has ended can still be looked at.
const KEPT: Duration = Duration::from_secs(300);
/// The exit code of a process whose end nobody saw.
const KILLED: i64 = 128 + 9;

/// The exec instances of all containers. They live in memory: their processes end with their
/// container, and nothing is made anew from them.
#[derive(Default)]
pub(super) struct Execs {
    by_id: Mutex<HashMap<String, Arc<Exec>>>,
}

struct Exec {
    id: String,
    container: ContainerId,
    config: ExecConfig,
    stage: Mutex<Stage>,
}

/// Where an exec instance is in its life.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Created,
    Starting,
    Running { pid: u32 },
    Ended { pid: Option<u32>, code: i64, since: Instant },
}

impl Execs {
    fn add(&self, exec: Arc<Exec>) {
        let mut all = lock(&self.by_id);
        all.retain(|_, exec| !exec.is_old());
        all.insert(exec.id.clone(), exec);
    }

    fn find(&self, id: &str) -> Result<Arc<Exec>> {
        let found = lock(&self.by_id).get(id).cloned();
        found.ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    /// The ids of those of `container` that haven't ended.
    pub(super) fn of(&self, container: &ContainerId) -> Vec<String> {
        let all = lock(&self.by_id);
        let mut ids: Vec<String> = all
            .values()
            .filter(|exec| exec.container == *container && !exec.has_ended())
            .map(|exec| exec.id.clone())
            .collect();
        ids.sort();
        ids
    }

    fn drop_where(&self, unwanted: impl Fn(&Exec) -> bool) {
        lock(&self.by_id).retain(|_, exec| !unwanted(exec));
    }
}

impl Exec {
    fn stage(&self) -> Stage {
        *lock(&self.stage)
    }

    fn set(&self, stage: Stage) {
        *lock(&self.stage) = stage;
    }

    fn end(&self, pid: Option<u32>, code: i64) {
        self.set(Stage::Ended { pid, code, since: Instant::now() });
    }

    fn has_ended(&self) -> bool {
        matches!(self.stage(), Stage::Ended { .. })
    }

    fn is_old(&self) -> bool {
        matches!(self.stage(), Stage::Ended { since, .. } if since.elapsed() > KEPT)
    }

    /// Takes it for a start; only the first one gets it.
    fn begin(&self) -> Result<()> {
        let mut stage = lock(&self.stage);
        let id = &self.id;
        match *stage {
            Stage::Created => {
                *stage = Stage::Starting;
                Ok(())
            }
            Stage::Starting | Stage::Running { .. } => {
                Err(Error::conflict(format!("exec command {id} is already running")))
            }
            Stage::Ended { .. } => {
                Err(Error::conflict(format!("exec command {id} has already run")))
            }
        }
    }
}

impl Containers {
    /// Prepares a process to be run in a running container; gives its id.
    ///
    /// # Errors
    /// Conflict if the container doesn't run or is paused, invalid if there is no such user in it.
    pub async fn exec_create(
        self: &Arc<Self>,
        id: &ContainerId,
        config: ExecConfig,
    ) -> Result<String> {
        let entry = self.index.get(id)?;
        let container = entry.container_in_turn().await;
        let life = active(&container)?;
        if config.cmd.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        if !config.user.is_empty() {
            let account = account_in(life.pid, config.user.clone(), Vec::new()).await;
            account.map_err(|error| match has_ended(life.pid) {
                true => not_running(&container),
                false => error,
            })?;
        }
        let exec = Arc::new(Exec {
            id: random_hex(),
            container: id.clone(),
            config,
            stage: Mutex::new(Stage::Created),
        });
        self.announce_exec(&container, &exec, "exec_create");
        let id = exec.id.clone();
        self.execs.add(exec);
        Ok(id)
    }

    /// Takes an exec instance for a start. Gives its client's end of its streams, which a detached
    /// one doesn't need, and the start itself, which is to be waited for: a client hears that it is
    /// connected before there is anything to read.
    ///
    /// # Errors
    /// Conflict if it was started before or its container doesn't run. Of the start: invalid if its
    /// program can't be executed, which is then said in its exit code too.
    pub fn exec_start(
        self: &Arc<Self>,
        exec: &str,
        start: ExecStart,
    ) -> Result<(Attachment, impl Future<Output = Result<()>> + Send + use<>)> {
        let exec = self.execs.find(exec)?;
        let entry = self.index.get(&exec.container)?;
        let container = entry.container();
        active(&container)?;
        exec.begin()?;
        self.announce_exec(&container, &exec, "exec_start");
        let (attachment, peer) = attachment::pair(exec.config.tty);
        let containers = Arc::clone(self);
        let starting =
            to_the_end(async move { containers.exec_start_now(entry, exec, start, peer).await });
        Ok((attachment, starting))
    }

    /// What is known of an exec instance.
    pub fn exec_inspect(&self, exec: &str) -> Result<ExecState> {
        let exec = self.execs.find(exec)?;
        let (pid, running, exit_code) = match exec.stage() {
            Stage::Created => (None, false, None),
            Stage::Starting => (None, true, None),
            Stage::Running { pid } => (Some(pid), true, None),
            Stage::Ended { pid, code, .. } => (pid, false, Some(code)),
        };
        let (id, container) = (exec.id.clone(), exec.container.clone());
        Ok(ExecState { id, container, config: exec.config.clone(), pid, running, exit_code })
    }

    /// Tells an exec instance's terminal its size.
    ///
    /// # Errors
    /// Conflict if its container doesn't run, invalid if it doesn't.
    pub async fn exec_resize(&self, exec: &str, size: TerminalSize) -> Result<()> {
        let exec = self.execs.find(exec)?;
        let entry = self.index.get(&exec.container)?;
        let container = entry.container();
        if !container.state.is_running() {
            return Err(not_running(&container));
        }
        let Stage::Running { .. } = exec.stage() else {
            return Err(Error::invalid("exec process is not started"));
        };
        let shim = entry.shim()?;
        shim.resize(Target::Exec(&exec.id), size.height, size.width).await
    }

    /// Drops what was prepared in a container and never started, as it has ended.
    pub(super) fn end_execs(&self, container: &ContainerId) {
        self.execs.drop_where(|exec| {
            exec.container == *container && matches!(exec.stage(), Stage::Created)
        });
    }

    /// Drops all exec instances of a container, as it is gone.
    pub(super) fn forget_execs(&self, container: &ContainerId) {
        self.execs.drop_where(|exec| exec.container == *container);
    }

    async fn exec_start_now(
        self: Arc<Self>,
        entry: Arc<Entry>,
        exec: Arc<Exec>,
        start: ExecStart,
        peer: Peer,
    ) -> Result<()> {
        let container = entry.container();
        let life = match active(&container) {
            Ok(life) => life.clone(),
            Err(error) => {
                exec.end(None, KILLED);
                return Err(error);
            }
        };
        // The client must not learn of the end before it can ask for the exit code.
        let open = peer.output.clone();
        let peer = Some(peer).filter(|_| !start.detach);
        let size = start.size.or(exec.config.size);
        let launched = self.launch_exec(&entry, &container, &life, &exec, size, peer).await;
        match launched {
            Ok((shim, pid)) => {
                exec.set(Stage::Running { pid });
                tokio::spawn(self.watch_exec(entry, exec, shim, pid, open));
                Ok(())
            }
            Err((code, error)) => {
                exec.end(None, code);
                // The kernel's words for that, and the runtime's, are other ones at every step.
                Err(if has_ended(life.pid) { not_running(&container) } else { error })
            }
        }
    }

    async fn launch_exec(
        &self,
        entry: &Entry,
        container: &Container,
        life: &Life,
        exec: &Exec,
        size: Option<TerminalSize>,
        peer: Option<Peer>,
    ) -> std::result::Result<(Shim, u32), (i64, Error)> {
        let config = &exec.config;
        let prepare = async {
            let user = if config.user.is_empty() { &container.config.user } else { &config.user };
            let groups = container.host.group_add.clone();
            let account = account_in(life.pid, user.clone(), groups).await?;
            let process = spec::exec_process(container, config, size, &account, &self.facts)?;
            let process = serde_json::to_vec(&process)
                .map_err(|error| Error::system(format!("encode the process: {error}")))?;
            let shim = entry.shim()?;
            let task = ExecTask {
                exec: &exec.id,
                terminal: config.tty,
                stdin: config.attach_stdin && peer.is_some(),
                output: peer.is_some(),
                process,
            };
            shim.exec(task).await?;
            Ok(shim)
        };
        let shim = prepare.await.map_err(failure::of_preparation)?;
        let attach_and_start = async {
            if let Some(peer) = peer {
                let wanted = Wanted {
                    stdin: config.attach_stdin,
                    stdout: config.attach_stdout,
                    stderr: config.attach_stderr,
                };
                let target = Target::Exec(&exec.id);
                let attached = shim.attach(target, wanted, Terms::of_exec(), peer).await;
                entry.clients.carry_exec(attached.map_err(failure::of_preparation)?);
            }
            shim.start(Target::Exec(&exec.id)).await.map_err(failure::of_runtime)
        };
        match attach_and_start.await {
            Ok(pid) => Ok((shim, pid)),
            Err(failure) => {
                let _ = shim.delete(Target::Exec(&exec.id)).await;
                Err(failure)
            }
        }
    }

    async fn watch_exec(
        self: Arc<Self>,
        entry: Arc<Entry>,
        exec: Arc<Exec>,
        shim: Shim,
        pid: u32,
        open: mpsc::Sender<Output>,
    ) {
        let code = match shim.wait(Target::Exec(&exec.id)).await {
            Ok(exit) => i64::from(exit.status),
            // The container ended, and this with it.
            Err(_) => KILLED,
        };
        exec.end(Some(pid), code);
        drop(open);
        let event = announce::event(&entry.container(), "exec_die")
            .with("execID", exec.id.clone())
            .with("exitCode", code.to_string());
        self.events.publish(event);
        if let Err(error) = shim.delete(Target::Exec(&exec.id)).await {
            tracing::debug!(exec = exec.id, %error, "delete an exec instance");
        }
    }

    fn announce_exec(&self, container: &Container, exec: &Exec, action: &str) {
        // A program without arguments is followed by the blank too, as docker has it.
        let (program, arguments) = exec.config.cmd.split_first().unwrap_or((&exec.id, &[]));
        let action = format!("{action}: {program} {}", arguments.join(" "));
        self.events.publish(announce::event(container, action).with("execID", exec.id.clone()));
    }
}

/// The process of a container in which others can be run.
fn active(container: &Container) -> Result<&Life> {
    match &container.state {
        State::Running(life) => Ok(life),
        State::Paused(_) => Err(Error::conflict(format!(
            "Container {} is paused, unpause the container before exec",
            container.name
        ))),
        State::Restarting(_) => Err(restarting(container)),
        _ => Err(not_running(container)),
    }
}

/// Whether a container's first process has ended. A zombie has no root any more.
fn has_ended(pid: u32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/root")).is_err()
}

/// Looks a user up as the container has it now.
async fn account_in(pid: u32, user: String, groups: Vec<String>) -> Result<Account> {
    blocking(move || Rootfs::of_process(pid)?.accounts()?.resolve(&user, &groups)).await
}
