//! Starting containers: one story from what must be ready to the running process, with what takes
//! each step back if a later one fails.

use std::sync::Arc;

use jiff::Timestamp;
use tare_proto::record::{FILE_NAME, TaskRecord};

use super::backlog::{Joined, Terms};
use super::entry::Entry;
use super::id::ContainerId;
use super::options::RemoveOptions;
use super::prepare::Prepared;
use super::record::Container;
use super::state::{Exit, Life, StartFailure, State};
use super::undo::Undo;
use super::work::{blocking, to_the_end};
use super::{Containers, announce, failure};
use crate::error::{Error, Kind, Result};
use crate::shim::{Shim, Target};

/// Why a start failed, and the code that this leaves with the container.
type Failure = (i64, Error);

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
            check_state(&entry.container().state)?;
            let outcome = containers.start_locked(&entry).await;
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
    pub(super) async fn start_locked(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<()> {
        let container = entry.container();
        let mut undo = Undo::default();
        match self.bring_up(entry, &container, &mut undo).await {
            Ok((running, shim)) => {
                entry.set_shim(Some(shim.clone()));
                entry.publish(Arc::clone(&running));
                announce::mounted(&self.events, &running);
                announce::announce(&self.events, &running, "start");
                self.watch(Arc::clone(entry), shim);
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

    async fn bring_up(
        self: &Arc<Self>,
        entry: &Entry,
        container: &Container,
        undo: &mut Undo,
    ) -> std::result::Result<(Arc<Container>, Shim), Failure> {
        let prepared = self.prepare(container, undo).await.map_err(failure::of_preparation)?;
        let Prepared { shim, task, endpoint } = prepared;
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
        let life = Life { pid, started_at: self.start_time(container).await };
        let running =
            Container { state: State::Running(life), network: endpoint, ..container.clone() };
        let running = self.save(running).await.map_err(failure::of_preparation)?;
        Ok((running, shim))
    }

    /// When the shim let the process go.
    async fn start_time(&self, container: &Container) -> Timestamp {
        let record = self.task_record(container).await;
        let started = record.and_then(|record| record.started_at?.parse().ok());
        started.unwrap_or_else(Timestamp::now)
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

    /// Leaves word of a failed start with the container.
    async fn record_failure(&self, entry: &Entry, code: i64, error: &Error) {
        let container = entry.container();
        let error = error.to_string();
        let state = match &container.state {
            State::Exited(exit) => State::Exited(Exit { code, error, ..exit.clone() }),
            _ => State::Created { failure: Some(StartFailure { code, error }) },
        };
        let failed = Container { state, network: None, ..(*container).clone() };
        match self.save(failed).await {
            Ok(failed) => entry.publish(failed),
            Err(error) => {
                tracing::error!(container = %container.id, %error, "record a failed start")
            }
        }
    }
}

/// Whether a container in this state can be started.
pub(super) fn check_state(state: &State) -> Result<()> {
    match state {
        State::Created { .. } | State::Exited(_) => Ok(()),
        State::Paused(_) => {
            Err(Error::conflict("cannot start a paused container, try unpause instead"))
        }
        State::Running(_) => Err(Error::new(Kind::NotModified, "container is already running")),
        State::Removing { .. } | State::Dead { .. } => {
            Err(Error::conflict("container is marked for removal and cannot be started"))
        }
    }
}
