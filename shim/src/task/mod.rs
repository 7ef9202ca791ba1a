//! The containers under this shim: one, or the several of a pod.

mod blueprint;
mod checkpoint;
mod condition;
mod container;
mod create;
mod delete;
mod exec;
mod health;
mod leftovers;
mod legacy;
mod limits;
mod options;
mod process;
mod restart;
mod restore;
mod run;
mod salvage;
mod situation;
mod spec;
mod state;
mod supervise;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use checkpoint::{Checkpoint, CheckpointRequest};
pub(crate) use container::Task;
pub(crate) use create::CreateRequest;
pub(crate) use exec::Exec;
pub(crate) use health::{Health, HealthStatus, Probe};
pub(crate) use leftovers::Leftovers;
pub(crate) use options::{TaskOptions, restart_policy};
pub(crate) use process::Process;
pub(crate) use run::Run;
pub(crate) use salvage::{OutputPipes, PipeId, Salvage};
pub(crate) use situation::{Ending, Phase, Situation};
pub(crate) use spec::Spec;
pub(crate) use state::State;

use crate::error::{Error, Result};
use crate::ports::Ports;
use crate::publish::Publisher;
use crate::reaper::{Exit, Reaper};

/// What all tasks of this shim share.
pub(crate) struct Environment {
    /// The containers' namespace, as containerd understands it.
    pub(crate) namespace: String,
    /// This shim's own socket; console sockets are made beside it.
    pub(crate) socket: PathBuf,
    /// Who reaps.
    pub(crate) reaper: Arc<Reaper>,
    /// Where events go.
    pub(crate) publisher: Publisher,
    /// How many console sockets there have been.
    pub(crate) consoles: AtomicU64,
}

impl Environment {
    /// A new place for a console socket: bundles may lie too deep for the 107 bytes of its name.
    fn console_path(&self) -> PathBuf {
        let number = self.consoles.fetch_add(1, Ordering::Relaxed);
        let mut path = self.socket.clone().into_os_string();
        path.push(format!(".{number}"));
        PathBuf::from(path)
    }
}

/// All tasks of this shim.
pub(crate) struct Tasks {
    environment: Arc<Environment>,
    places: Mutex<BTreeMap<String, Place>>,
    /// Ports that are held for the containers as long as there are any.
    ports: Mutex<Option<Ports>>,
}

/// What stands under an id.
enum Place {
    /// The task is being created.
    Taken,
    /// The task.
    Filled(Arc<Task>),
}

impl Tasks {
    /// No tasks yet.
    pub(crate) fn new(environment: Arc<Environment>, ports: Ports) -> Self {
        Tasks { environment, places: Mutex::default(), ports: Mutex::new(Some(ports)) }
    }

    /// The namespace of all tasks here.
    pub(crate) fn namespace(&self) -> &str {
        &self.environment.namespace
    }

    /// The task with this id.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Task>> {
        match self.lock().get(id) {
            Some(Place::Filled(task)) => Ok(Arc::clone(task)),
            Some(Place::Taken) | None => {
                Err(Error::not_found(format!("container {id:?} isn't here: it was never created")))
            }
        }
    }

    /// Creates a task, under an id that is free.
    pub(crate) async fn create(&self, request: CreateRequest) -> Result<Arc<Task>> {
        let id = request.id.clone();
        if !is_valid_id(&id) {
            return Err(Error::invalid(format!("{id:?} is no container id")));
        }
        if !request.bundle.is_absolute() {
            let bundle = request.bundle.display();
            return Err(Error::invalid(format!("the bundle {bundle} must be an absolute path")));
        }
        {
            let mut places = self.lock();
            if places.contains_key(&id) {
                return Err(Error::already_exists(format!("container {id} exists")));
            }
            places.insert(id.clone(), Place::Taken);
        }
        let created = Task::create(Arc::clone(&self.environment), request).await;
        let mut places = self.lock();
        match &created {
            Ok(task) => places.insert(id, Place::Filled(Arc::clone(task))),
            Err(_) => places.remove(&id),
        };
        created
    }

    /// Deletes a task; with the last one go the ports that were held.
    pub(crate) async fn delete(&self, id: &str) -> Result<(u32, Exit)> {
        let deleted = self.get(id)?.delete().await?;
        let mut places = self.lock();
        places.remove(id);
        if places.is_empty() {
            self.ports.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        Ok(deleted)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `id` can be a container's or an exec's id: letters, digits, `.`, `_` and `-`, with a
/// letter or digit first. Nothing else may become part of a path or of a command line.
pub(crate) fn is_valid_id(id: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    id.len() <= 255
        && id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && id.bytes().all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_can_not_become_paths_or_flags() {
        assert!(is_valid_id("0f3a") && is_valid_id("web-1.a_b"));
        for id in ["", ".", "..", "a/b", "-force", "a b", "a\0", "_x"] {
            assert!(!is_valid_id(id), "{id:?}");
        }
    }
}
