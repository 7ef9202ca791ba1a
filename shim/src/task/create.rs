//! Making a container, and taking everything back if that fails.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::process::Pid;
use tare_proto::containerd::types::Mount;

use super::Environment;
use super::container::Task;
use super::leftovers::{Leftovers, Noted};
use super::options::TaskOptions;
use super::process::Process;
use super::spec::Spec;
use super::state::{Action, State};
use crate::cgroup::OomCounter;
use crate::diagnostics::warn;
use crate::error::Result;
use crate::io::console::ConsoleSocket;
use crate::io::log::Log;
use crate::io::{ChildStdio, Policy, StdioRequest};
use crate::mount::Rootfs;
use crate::publish::Event;
use crate::reaper::{ExitReceiver, Launch};
use crate::record::Record;
use crate::runtime::Runtime;

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

impl Task {
    /// Makes the container, all but started. Takes everything back if any step fails.
    pub(crate) async fn create(
        environment: Arc<Environment>,
        request: CreateRequest,
    ) -> Result<Arc<Self>> {
        let CreateRequest { id, bundle, rootfs, stdio, options } = request;
        let log = options.log.as_ref().map_or(Ok(None), Log::open)?;
        let policy = Policy { log, stdin_once: options.stdin_once, owner: options.owner };
        let init = Process::new(stdio.clone(), policy)?;
        let runtime = Runtime::new(options.runtime.clone(), &id, &bundle);
        let leftovers = Leftovers {
            runtime: options.runtime,
            state_directory: options.state_directory.clone(),
        };
        let noted = leftovers.write(&bundle)?;
        let mounted = Rootfs::mount(&bundle, &rootfs).inspect_err(|_| forget(&bundle, noted))?;
        let launch = environment.reaper.launch();
        let created =
            Creation { environment: &environment, id: &id, init: &init, runtime: &runtime };
        let created = created.run(&launch, options.state_directory).await;
        let (record, ended, pid) = match created {
            Ok(created) => created,
            Err(error) => {
                init.io.close();
                take_back(mounted.as_ref()).await;
                forget(&bundle, noted);
                return Err(error);
            }
        };
        if noted == Noted::Before {
            // It told of nothing any more, or the runtime would have refused.
            leftovers.replace(&bundle).unwrap_or_else(|error| warn(format_args!("{error}")));
        }
        let task = Arc::new(Task {
            runtime,
            reaper: Arc::clone(&environment.reaper),
            rootfs: mounted,
            record,
            oom: OomCounter::of_process(pid),
            owner: options.owner,
            shares_pid_namespace: Spec::read(&bundle).shares_pid_namespace(),
            execs: Mutex::default(),
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
        // A runtime that fails undoes what it did. It may have failed because the container exists
        // under another shim: nothing may be deleted here.
        let (pid, begun) = self.make(launch).await?;
        let result = begun.and_then(|()| {
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
                let _ = self.runtime.delete(launch, true).await;
            }
        }
        result
    }

    /// Has the runtime make it; returns its init's pid, and whether its streams work.
    async fn make(&self, launch: &Launch) -> Result<(Pid, Result<()>)> {
        let io = &self.init.io;
        io.prepare(launch, &self.environment.namespace, self.id).await?;
        if self.init.stdio.terminal {
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

async fn take_back(rootfs: Option<&Rootfs>) {
    if let Some(rootfs) = rootfs
        && let Err(error) = rootfs.unmount().await
    {
        warn(format_args!("take back a failed create: {error}"));
    }
}

fn forget(bundle: &Path, noted: Noted) {
    match noted {
        Noted::Now => Leftovers::clear(bundle),
        Noted::Before => {}
    }
}
