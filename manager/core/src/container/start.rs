//! Starting containers: one story from what must be ready to the running process, with what takes
//! each step back if a later one fails.

use std::sync::Arc;

use jiff::Timestamp;
use tare_proto::record::{FILE_NAME, TaskRecord};

use super::backlog::{Joined, Terms};
use super::entry::{Entry, lock};
use super::health::Health;
use super::id::ContainerId;
use super::options::RemoveOptions;
use super::prepare::Prepared;
use super::record::Container;
use super::state::{Exit, Life, StartFailure, State};
use super::supervise::backoff::Backoff;
use super::supervise::{policy, probe};
use super::undo::Undo;
use super::work::{blocking, to_the_end};
use super::{Containers, announce, failure};
use crate::error::{Error, Kind, Result};
use crate::shim::{Condition, Conditions, Phase, Shim, Target};

/// Why a start failed, and the code that this leaves with the container.
type Failure = (i64, Error);

/// Who starts a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Its user: what was before doesn't count any more.
    ByUser,
    /// Its restart policy. It has been counted when that was decided.
    ByPolicy,
}

/// A container that has been let go, and the way to follow it.
struct BroughtUp {
    container: Arc<Container>,
    shim: Shim,
    condition: Condition,
    conditions: Conditions,
}

impl Containers {
    /// Starts a container.
    ///
    /// # Errors
    /// [`Kind::NotModified`] if it runs; conflict if it is paused or being removed; invalid if its
    /// program can't be executed, which is then said in the container's state too.
    pub async fn start(self: &Arc<Self>, id: &ContainerId) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        to_the_end(async move {
            let doing = entry.doing.lock().await;
            let container = entry.container();
            if container.state.is_running() && container.stopped_by_user {
                containers.take_stop_back(&entry, &container).await?;
            }
            check_state(&container.state)?;
            let outcome = containers.start_locked(&entry, Start::ByUser).await;
            drop(doing);
            // What removes itself when it ends does so too if it never came up.
            if outcome.is_err() && entry.container().host.auto_remove {
                let options = RemoveOptions { force: true, volumes: true };
                containers.remove_logged(&entry, options).await;
            }
            outcome
        })
        .await
    }

    /// The same for whoever holds the container already, and knows that it can be started.
    pub(super) async fn start_locked(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        start: Start,
    ) -> Result<()> {
        let container = self.count_start(entry, start).await?;
        let mut undo = Undo::default();
        match self.bring_up(entry, &container, &mut undo).await {
            Ok(BroughtUp { container, shim, condition, conditions }) => {
                entry.set_shim(Some(shim.clone()));
                entry.publish(Arc::clone(&container));
                announce::mounted(&self.events, &container);
                announce::announce(&self.events, &container, "start");
                self.follow(Arc::clone(entry), shim, condition, conditions);
                Ok(())
            }
            Err((code, error)) => {
                undo.run(container.id.as_str()).await;
                entry.take_clients();
                self.record_failure(entry, code, &error).await;
                Err(error)
            }
        }
    }

    /// What runs though its user has stopped it, as that stop was broken off or the signal was taken
    /// for something else, is started again from now on as if that hadn't been.
    async fn take_stop_back(&self, entry: &Entry, container: &Container) -> Result<()> {
        let wanted = Container { stopped_by_user: false, ..container.clone() };
        let wanted = self.save(wanted).await?;
        entry.publish(Arc::clone(&wanted));
        match entry.any_shim() {
            Some(shim) => shim.set_restart_policy(policy::of_shim(&wanted)).await.map(drop),
            None => Ok(()),
        }
    }

    /// Counts a start. That its user wants it to run is written down before it does: whatever
    /// happens from here on, it isn't taken for one that its user stopped.
    async fn count_start(&self, entry: &Entry, start: Start) -> Result<Arc<Container>> {
        let container = entry.container();
        let restart_count = match start {
            Start::ByUser => {
                *lock(&entry.backoff) = Backoff::default();
                0
            }
            Start::ByPolicy => container.restart_count,
        };
        if !container.stopped_by_user && container.restart_count == restart_count {
            return Ok(container);
        }
        let counted = Container { stopped_by_user: false, restart_count, ..(*container).clone() };
        let counted = self.save(counted).await?;
        entry.publish(Arc::clone(&counted));
        Ok(counted)
    }

    async fn bring_up(
        self: &Arc<Self>,
        entry: &Entry,
        container: &Container,
        undo: &mut Undo,
    ) -> std::result::Result<BroughtUp, Failure> {
        let prepared = self.prepare(container, undo).await.map_err(failure::of_preparation)?;
        let Prepared { shim, task, sandbox } = prepared;
        let pid = shim.create(task).await.map_err(|error| {
            failure::of_runtime(
                error
                    .while_doing("failed to create task for container: failed to create shim task"),
            )
        })?;
        for client in entry.take_clients() {
            let terms = Terms::of_container(container, Joined::BeforeStart);
            let attached = shim.attach(Target::Init, client.wanted, terms, client.peer).await;
            let listening = attached.map_err(failure::of_preparation)?;
            entry.clients.carry(listening);
        }
        shim.start(Target::Init).await.map_err(failure::of_runtime)?;
        let (condition, conditions) = shim.follow().await.map_err(failure::of_preparation)?;
        let life = first_life(&condition.phase, pid, container.state.last_finished_at());
        let running = Container {
            state: State::Running(life),
            network: sandbox,
            health: probe::is_checked(container).then(Health::default),
            ..container.clone()
        };
        let container = self.save(running).await.map_err(failure::of_preparation)?;
        Ok(BroughtUp { container, shim, condition, conditions })
    }

    /// What the shim has recorded of the container, if it has.
    pub(super) async fn task_record(&self, container: &Container) -> Option<TaskRecord> {
        let path = container.directory.join(FILE_NAME);
        let read = blocking(move || {
            let bytes = std::fs::read(&path)
                .map_err(|error| Error::io(format!("read {}", path.display()), error))?;
            serde_json::from_slice(&bytes)
                .map_err(|error| Error::system(format!("read {}: {error}", path.display())))
        });
        read.await.ok()
    }

    /// Leaves word of a failed start with the container. Its restart policy may want another.
    async fn record_failure(self: &Arc<Self>, entry: &Arc<Entry>, code: i64, error: &Error) {
        let container = entry.container();
        let failed = |exit: &Exit| Exit { code, error: error.to_string(), ..exit.clone() };
        let (state, again) = match &container.state {
            State::Exited(exit) => (State::Exited(failed(exit)), false),
            State::Restarting(exit) if policy::starts_again(&container, code) => {
                (State::Restarting(failed(exit)), true)
            }
            State::Restarting(exit) => (State::Exited(failed(exit)), false),
            _ => {
                let failure = Some(StartFailure { code, error: error.to_string() });
                (State::Created { failure }, false)
            }
        };
        let restart_count = container.restart_count.saturating_add(u32::from(again));
        let failed = Container { state, restart_count, network: None, ..(*container).clone() };
        let failed = match self.save(failed.clone()).await {
            Ok(failed) => failed,
            Err(error) => {
                tracing::error!(container = %container.id, %error, "record a failed start");
                Arc::new(failed)
            }
        };
        let came_to_rest = container.state.is_running() && !failed.state.is_running();
        entry.publish(Arc::clone(&failed));
        if again {
            tracing::warn!(container = %container.id, %error, "start it again");
            self.start_again_later(entry);
        } else if came_to_rest {
            tracing::error!(container = %container.id, %error, "start it again; given up");
            entry.publish_exit(failed);
        }
    }
}

/// The first run of a container that has just been let go. It may have ended already, which is then
/// the next that is told of it.
fn first_life(phase: &Phase, pid: u32, last_finished_at: Option<Timestamp>) -> Life {
    let (pid, started_at) = match phase {
        Phase::Running { pid, started_at } => (*pid, *started_at),
        Phase::Waiting(ended) | Phase::Ended(ended) => (pid, ended.exit.started_at),
        Phase::Created => (pid, Timestamp::now()),
    };
    Life { pid, started_at, last_finished_at }
}

/// Whether a container in this state can be started.
pub(super) fn check_state(state: &State) -> Result<()> {
    match state {
        State::Created { .. } | State::Exited(_) => Ok(()),
        State::Paused(_) => {
            Err(Error::conflict("cannot start a paused container, try unpause instead"))
        }
        State::Running(_) | State::Restarting(_) => {
            Err(Error::new(Kind::NotModified, "container is already running"))
        }
        State::Removing { .. } | State::Dead { .. } => {
            Err(Error::conflict("container is marked for removal and cannot be started"))
        }
    }
}
