//! Freezing containers and letting them go on.

use std::sync::Arc;

use super::entry::{not_running, restarting};
use super::id::ContainerId;
use super::record::Container;
use super::state::State;
use super::work::to_the_end;
use super::{Containers, announce};
use crate::error::{Error, Result};

/// Why a container is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its user wants it.
    User,
    /// An image is made of it; whoever takes over from a manager that dies meanwhile lets it go on.
    Commit,
}

impl Containers {
    /// Freezes a container's processes.
    ///
    /// # Errors
    /// Conflict if it doesn't run or is frozen.
    pub async fn pause(self: &Arc<Self>, id: &ContainerId) -> Result<()> {
        self.freeze(id, Why::User).await
    }

    /// The same, for this reason.
    pub(super) async fn freeze(self: &Arc<Self>, id: &ContainerId, why: Why) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        to_the_end(async move {
            let _doing = entry.doing.lock().await;
            let container = entry.container();
            let life = match &container.state {
                State::Running(life) => life.clone(),
                State::Paused(_) => {
                    let id = &container.id;
                    return Err(Error::conflict(format!("Container {id} is already paused")));
                }
                State::Restarting(_) => return Err(restarting(&container)),
                _ => return Err(not_running(&container)),
            };
            let for_commit = why == Why::Commit;
            let warned = Container { frozen_for_commit: for_commit, ..(*container).clone() };
            if for_commit {
                // Written down before it is so, or a manager that dies in between leaves it frozen.
                entry.publish(containers.save(warned.clone()).await?);
            }
            entry.shim()?.pause().await.map_err(|error| {
                error.while_doing(format!("cannot pause container {}", container.id))
            })?;
            let paused = Container { state: State::Paused(life), ..warned };
            entry.publish(containers.save(paused).await?);
            announce::announce(&containers.events, &container, "pause");
            Ok(())
        })
        .await
    }

    /// Lets a frozen container's processes go on.
    ///
    /// # Errors
    /// Conflict if it isn't frozen.
    pub async fn unpause(self: &Arc<Self>, id: &ContainerId) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        to_the_end(async move {
            let _doing = entry.doing.lock().await;
            let container = entry.container();
            let State::Paused(life) = &container.state else {
                let id = &container.id;
                return Err(Error::conflict(format!("Container {id} is not paused")));
            };
            entry.shim()?.resume().await.map_err(|error| {
                error.while_doing(format!("Cannot unpause container {}", container.id))
            })?;
            let state = State::Running(life.clone());
            let running = Container { state, frozen_for_commit: false, ..(*container).clone() };
            entry.publish(containers.save(running).await?);
            announce::announce(&containers.events, &container, "unpause");
            Ok(())
        })
        .await
    }
}
