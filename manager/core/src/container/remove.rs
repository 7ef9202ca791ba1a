//! Taking containers away.

use std::sync::Arc;

use super::create::remove_directory;
use super::entry::Entry;
use super::id::ContainerId;
use super::options::RemoveOptions;
use super::record::{Container, MountSource};
use super::state::State;
use super::work::{blocking, to_the_end};
use super::{Containers, RECORDS, announce};
use crate::error::{Error, Kind, Result};

impl Containers {
    /// Takes a container away.
    ///
    /// # Errors
    /// Conflict if it runs and isn't to be killed, or is being removed already.
    pub async fn remove(self: &Arc<Self>, id: &ContainerId, options: RemoveOptions) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        to_the_end(async move { containers.remove_entry(&entry, options).await }).await
    }

    /// The same for whoever can do nothing about a failure.
    pub(super) async fn remove_logged(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        options: RemoveOptions,
    ) {
        match self.remove_entry(entry, options).await {
            Err(error) if error.kind() != Kind::NotFound => {
                tracing::error!(container = %entry.container().id, %error, "remove");
            }
            _ => {}
        }
    }

    /// Ends a removal that an earlier manager began.
    pub(super) async fn finish_removal(self: Arc<Self>, entry: Arc<Entry>) {
        let volumes = matches!(entry.container().state, State::Removing { volumes: true, .. });
        self.remove_logged(&entry, RemoveOptions { force: false, volumes }).await;
    }

    async fn remove_entry(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        options: RemoveOptions,
    ) -> Result<()> {
        loop {
            let doing = entry.doing.lock().await;
            let container = entry.container();
            // It may have been removed while we waited for our turn.
            self.index.get(&container.id)?;
            match &container.state {
                State::Paused(_) if !options.force => {
                    return Err(Error::conflict("container is paused and must be unpaused first")
                        .while_doing(format!("cannot remove container \"{}\"", container.name)));
                }
                State::Running(_) | State::Restarting(_) if !options.force => {
                    let status = container.state.status();
                    return Err(Error::conflict(format!(
                        "container is {status}: stop the container before removing or force remove"
                    ))
                    .while_doing(format!("cannot remove container \"{}\"", container.name)));
                }
                State::Running(_) | State::Paused(_) | State::Restarting(_) => {
                    drop(doing);
                    self.kill_and_wait(entry)
                        .await
                        .map_err(|error| error.while_doing("could not kill container"))?;
                    // Its exit is recorded now; it may have been started again since.
                }
                State::Created { .. }
                | State::Exited(_)
                | State::Removing { .. }
                | State::Dead { .. } => {
                    return self.remove_stopped(entry, &container, options).await;
                }
            }
        }
    }

    /// Takes away a container that doesn't run. Its caller holds it.
    async fn remove_stopped(
        &self,
        entry: &Entry,
        container: &Container,
        options: RemoveOptions,
    ) -> Result<()> {
        let exit = container.state.exit().cloned();
        let with = |state: State| Container { state, ..container.clone() };
        let removing = State::Removing { exit: exit.clone(), volumes: options.volumes };
        let removing = self.save(with(removing)).await?;
        entry.publish(removing);
        match self.take_away(container, options).await {
            Ok(()) => {
                entry.take_clients();
                self.forget_execs(&container.id);
                self.index.remove(entry);
                announce::announce(&self.events, container, "destroy");
                entry.wake_all();
                Ok(())
            }
            Err(error) => {
                let dead = Arc::new(with(State::Dead { exit }));
                if let Err(error) = self.save((*dead).clone()).await {
                    tracing::error!(container = %container.id, %error, "record a failed removal");
                }
                entry.publish(dead);
                Err(error.while_doing(format!("cannot remove container \"{}\"", container.name)))
            }
        }
    }

    /// Takes away what the container has on disk; its record, and those of its volumes, last.
    async fn take_away(&self, container: &Container, options: RemoveOptions) -> Result<()> {
        for snapshot in container.snapshots() {
            self.images.snapshots().remove(snapshot).await?;
        }
        let directory = container.directory.clone();
        blocking(move || remove_directory(&directory)).await?;
        let doomed: Vec<String> = container
            .mounts
            .iter()
            .filter_map(|point| match &point.source {
                MountSource::Volume { name, anonymous: true, .. } if options.volumes => {
                    Some(name.clone())
                }
                _ => None,
            })
            .collect();
        let (volumes, id) = (Arc::clone(&self.volumes), container.id.clone());
        blocking(move || {
            volumes.leave(id.as_str(), doomed, |change| change.delete(&RECORDS, id.as_str()))
        })
        .await
    }
}
