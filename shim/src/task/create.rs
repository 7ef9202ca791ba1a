//! Making a container, and taking everything back if that fails.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use prost::Message;
use tare_proto::containerd::types::Mount;
use tokio::sync::watch;

use super::Environment;
use super::blueprint::Blueprint;
use super::checkpoint::Checkpoint;
use super::container::Task;
use super::health::HealthMonitor;
use super::leftovers::{Leftovers, Noted};
use super::limits::Limits;
use super::options::TaskOptions;
use super::restart::Restarts;
use super::run::Run;
use super::salvage::OutputPipes;
use super::situation::Situation;
use super::spec::Spec;
use crate::cgroup;
use crate::diagnostics::warn;
use crate::error::Result;
use crate::io::StdioRequest;
use crate::io::log::Log;
use crate::mount::Rootfs;
use crate::publish::Event;
use crate::reaper::ExitReceiver;
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
    /// The files that it is to be made of, at its start.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The rest.
    pub(crate) options: TaskOptions,
}

impl Task {
    /// Makes the container, all but started. Takes everything back if any step fails.
    pub(crate) async fn create(
        environment: Arc<Environment>,
        request: CreateRequest,
    ) -> Result<Arc<Self>> {
        let CreateRequest { id, bundle, rootfs, stdio, checkpoint, options } = request;
        let restarts = options.restarts;
        let state_directory = options.state_directory.unwrap_or_else(|| bundle.clone());
        if let Some(cgroup) = &options.shim_cgroup {
            cgroup::join(cgroup)?;
        }
        let blueprint = Blueprint {
            runtime: Runtime::new(options.runtime.clone(), &id, &bundle),
            log: options.log.as_ref().map_or(Ok(None), Log::open)?,
            stdin_once: options.stdin_once,
            owner: options.owner,
            stdio: stdio.clone(),
            id: id.clone(),
            bundle: bundle.clone(),
            criu_work: options.criu_work,
            environment,
        };
        let leftovers = Leftovers {
            runtime: options.runtime,
            state_directory: Some(state_directory.clone()),
            log: options.log.as_ref().map(Message::encode_to_vec),
        };
        let noted = leftovers.write(&bundle)?;
        let mounted = Rootfs::mount(&bundle, &rootfs).inspect_err(|_| forget(&bundle, noted))?;
        let made = match &checkpoint {
            None => first_run(&blueprint, state_directory, restarts).await,
            Some(_) => planned_run(&blueprint, state_directory, restarts),
        };
        let (run, ended, record, situation) = match made {
            Ok(made) => made,
            Err(error) => {
                take_back(mounted.as_ref()).await;
                forget(&bundle, noted);
                return Err(error);
            }
        };
        if noted == Noted::Before {
            // It told of nothing any more, or the runtime would have refused.
            leftovers.replace(&bundle).unwrap_or_else(|error| warn(format_args!("{error}")));
        }
        let pid = run.init.state().pid();
        let task = Arc::new(Task {
            blueprint,
            rootfs: mounted,
            record,
            shares_pid_namespace: Spec::read(&bundle).shares_pid_namespace(),
            limits: Limits::default(),
            run: Mutex::new(Arc::new(run)),
            restarts: Mutex::new(Restarts::new(options.restart, restarts)),
            checkpoint,
            health: options.health.map(HealthMonitor::new),
            situation: watch::Sender::new(Some(situation)),
            making: tokio::sync::Mutex::new(()),
            bundle,
            id,
        });
        if let Some(ended) = ended {
            tokio::spawn(Arc::clone(&task).supervise(ended));
        }
        let checkpoint = task.checkpoint.as_ref().map(|checkpoint| checkpoint.images.clone());
        task.publish(Event::Create {
            container_id: task.id.clone(),
            bundle: task.bundle.clone(),
            rootfs,
            stdio,
            checkpoint,
            pid,
        });
        Ok(task)
    }
}

async fn first_run(
    blueprint: &Blueprint,
    state_directory: PathBuf,
    restarts: u32,
) -> Result<(Run, Option<ExitReceiver>, Record, Situation)> {
    let (run, ended) = blueprint.make_run().await?;
    let situation = Situation::created(run.init.state().pid(), restarts);
    match Record::begin(Some(state_directory), &blueprint.id, &situation) {
        Ok(record) => Ok((run, Some(ended), record, situation)),
        Err(error) => {
            blueprint.discard(&run, ended).await;
            Err(error)
        }
    }
}

/// The run of a container that nothing is made of before its start.
fn planned_run(
    blueprint: &Blueprint,
    state_directory: PathBuf,
    restarts: u32,
) -> Result<(Run, Option<ExitReceiver>, Record, Situation)> {
    let situation = Situation::created(0, restarts);
    let record = Record::begin(Some(state_directory), &blueprint.id, &situation)?;
    Ok((Run::new(blueprint.plan_init()?), None, record, situation))
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
        Noted::Now => {
            OutputPipes::clear(bundle);
            Leftovers::clear(bundle);
        }
        Noted::Before => {}
    }
}
