//! A container under this shim: its init, what is exec'd beside it, and all that was made for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::process::Pid;
use tare_proto::containerd::types::Mount;

use super::exec::Exec;
use super::leftovers::Leftovers;
use super::options::TaskOptions;
use super::process::Process;
use super::spec;
use super::state::{Action, State};
use super::{Environment, is_valid_id};
use crate::cgroup::OomCounter;
use crate::diagnostics::warn;
use crate::error::{Error, Result};
use crate::io::console::ConsoleSocket;
use crate::io::hub::Pressure;
use crate::io::log::Log;
use crate::io::{ChildStdio, Owner, Policy, StdioRequest};
use crate::mount::Rootfs;
use crate::publish::Event;
use crate::reaper::{Exit, ExitReceiver, Launch, Reaper};
use crate::record::Record;
use crate::runtime::Runtime;

/// How long `delete` waits for a reader of the output that isn't ours.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(10);
/// How long the container is held back for an attached client that doesn't read.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a killed init may take to end.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// SIGKILL's number.
pub(super) const KILL: u32 = 9;

/// What Create asks for.
pub(crate) struct CreateRequest {
    /// The container's id.
    pub(crate) id: String,
    /// The directory with its config.json.
    pub(crate) bundle: PathBuf,
    /// What its root file system is made of, if the shim is to mount it.
    pub(crate) rootfs: Vec<Mount>,
    /// The init's streams.
    pub(crate) stdio: StdioRequest,
    /// The rest.
    pub(crate) options: TaskOptions,
}

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
    environment: Arc<Environment>,
    rootfs: Option<Rootfs>,
    record: Record,
    oom: Option<OomCounter>,
    owner: Owner,
    shares_pid_namespace: bool,
    execs: Mutex<HashMap<String, Arc<Exec>>>,
    consoles: AtomicU64,
    /// Held by the one who deletes.
    deletion: tokio::sync::Mutex<()>,
}

impl Task {
    /// Makes the container, all but started. Takes everything back if any step fails.
    pub(crate) async fn create(
        environment: Arc<Environment>,
        request: CreateRequest,
    ) -> Result<Arc<Self>> {
        let CreateRequest { id, bundle, rootfs, stdio, options } = request;
        let log = options.log.as_ref().map_or(Ok(None), Log::open)?;
        let policy = Policy {
            log,
            pressure: Pressure::Bounded(CLIENT_PATIENCE),
            stdin_once: options.stdin_once,
            owner: options.owner,
        };
        let init = Process::new(stdio.clone(), policy)?;
        let runtime = Runtime::new(options.runtime.clone(), &id, &bundle);
        let leftovers = Leftovers {
            runtime: options.runtime,
            state_directory: options.state_directory.clone(),
        };
        leftovers.write(&bundle)?;
        let mounted = Rootfs::mount(&bundle, &rootfs);
        let mounted = mounted.inspect_err(|_| Leftovers::clear(&bundle))?;
        let launch = environment.reaper.launch();
        let created =
            Creation { environment: &environment, id: &id, init: &init, runtime: &runtime };
        let created = created.run(&launch, options.state_directory).await;
        let (record, ended, pid) = match created {
            Ok(created) => created,
            Err(error) => {
                init.io.close();
                take_back(&bundle, mounted.as_ref()).await;
                return Err(error);
            }
        };
        let task = Arc::new(Task {
            runtime,
            reaper: Arc::clone(&environment.reaper),
            rootfs: mounted,
            record,
            oom: OomCounter::of_process(pid),
            owner: options.owner,
            shares_pid_namespace: spec::shares_pid_namespace(&bundle),
            execs: Mutex::default(),
            consoles: AtomicU64::new(0),
            deletion: tokio::sync::Mutex::new(()),
            environment,
            init,
            bundle,
            id,
        });
        tokio::spawn(Arc::clone(&task).supervise(ended));
        task.publish(Event::Create {
            container_id: task.id.clone(),
            bundle: task.bundle.clone(),
            rootfs,
            stdio,
            pid,
        });
        Ok(task)
    }

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
        let policy = Policy {
            log: None,
            pressure: Pressure::OneClientIsEnough,
            stdin_once: true,
            owner: self.owner,
        };
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
            exec.process.io.complete(OUTPUT_PATIENCE).await;
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
            let gone = ["process already finished", "container not running", "not running"]
                .iter()
                .chain(&["no such process", "No such process", "stopped container"])
                .any(|phrase| text.contains(phrase));
            if gone {
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

    /// Takes down all that was made for the container, past any step that fails; the errors of all
    /// such steps are told together. Returns the init's pid and end.
    pub(crate) async fn delete(&self) -> Result<(u32, Exit)> {
        let _deletion = self.deletion.lock().await;
        self.init.state().allow(Action::Delete)?;
        // A created container's init still waits to be let go.
        let force = matches!(self.init.state(), State::Created { .. });
        let mut errors = Vec::new();
        match self.runtime.delete(&self.reaper.launch(), force).await {
            Err(error) if !error.to_string().contains("does not exist") => errors.push(error),
            _ => {}
        }
        let Ok(exit) = tokio::time::timeout(KILL_PATIENCE, self.init.wait()).await else {
            return Err(errors.pop().unwrap_or_else(|| {
                Error::unknown(format!("container {}: its init doesn't end", self.id))
            }));
        };
        self.init.io.complete(OUTPUT_PATIENCE).await;
        self.init.io.close();
        for (_, exec) in self.lock_execs().drain() {
            exec.process.io.close();
        }
        if let Some(rootfs) = &self.rootfs
            && let Err(error) = rootfs.unmount().await
        {
            errors.push(error);
        }
        if !errors.is_empty() {
            let texts: Vec<_> = errors.iter().map(Error::to_string).collect();
            return Err(Error::unknown(format!("delete {}: {}", self.id, texts.join("; "))));
        }
        Leftovers::clear(&self.bundle);
        let (pid, exit) = (self.init.state().pid(), exit?);
        self.publish(Event::Delete { container_id: self.id.clone(), pid, exit });
        Ok((pid, exit))
    }

    /// Waits for the init's end, and sees to all that has to happen then.
    async fn supervise(self: Arc<Self>, ended: ExitReceiver) {
        let Ok(exit) = ended.await else { return };
        if self.shares_pid_namespace {
            // Nothing is left to kill where the init was alone.
            let _ = self.runtime.kill(&self.reaper.launch(), KILL, true).await;
        }
        let oom_killed = self.oom.as_ref().is_some_and(OomCounter::has_struck);
        let record = || {
            if let Err(error) = self.record.exited(exit, oom_killed) {
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

    /// A place for a console socket: bundles may lie too deep for the 107 bytes of its name.
    pub(super) fn console_path(&self) -> PathBuf {
        self.environment.console_path(self.consoles.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn publish(&self, event: Event) {
        self.environment.publisher.publish(event);
    }

    fn lock_execs(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The steps of Create that have the runtime in their middle.
struct Creation<'a> {
    environment: &'a Environment,
    id: &'a str,
    init: &'a Process,
    runtime: &'a Runtime,
}

impl Creation<'_> {
    async fn run(
        self,
        launch: &Launch,
        state_directory: Option<PathBuf>,
    ) -> Result<(Record, ExitReceiver, u32)> {
        let made = self.make(launch).await;
        let result = made.and_then(|pid| {
            let ended = launch.adopt(pid)?;
            let number = pid.as_raw_nonzero().get().unsigned_abs();
            let record = Record::created(state_directory, self.id, number)?;
            Ok((record, ended, number))
        });
        match &result {
            Ok((_, _, pid)) => {
                // It has no other state before; nobody knows of it yet.
                let turn = self.init.begin(Action::Start).await?;
                self.init.set_state(State::Created { pid: *pid }, &turn);
            }
            Err(_) => {
                // The runtime undoes what it did when it fails; this is for what came after.
                let _ = self.runtime.delete(launch, true).await;
            }
        }
        result
    }

    async fn make(&self, launch: &Launch) -> Result<Pid> {
        if self.init.stdio.terminal {
            let console = ConsoleSocket::bind(self.environment.console_path(0))?;
            let path = Some(console.path().to_owned());
            let pid = self.runtime.create(launch, ChildStdio::null(), path.as_deref()).await?;
            self.init.io.begin_terminal(console.receive().await?)?;
            return Ok(pid);
        }
        let (theirs, ours) = self.init.io.open_pipes()?;
        let pid = self.runtime.create(launch, theirs, None).await?;
        self.init.io.begin(ours)?;
        Ok(pid)
    }
}

async fn take_back(bundle: &Path, rootfs: Option<&Rootfs>) {
    if let Some(rootfs) = rootfs
        && let Err(error) = rootfs.unmount().await
    {
        warn(format_args!("take back a failed create: {error}"));
    }
    Leftovers::clear(bundle);
}
