//! Freezing containers and letting them go on.

use std::sync::Arc;

use super::entry::{not_running, restarting};
use super::id::ContainerId;
use super::record::Container;
use super::state::State;
use super::work::to_the_end;
use super::{Containers, announce};
use crate::error::{Error, Result};

impl Containers {
    /// Freezes a container's processes.
    ///
    /// # Errors
    /// Conflict if it doesn't run or is frozen.
    pub async fn pause(self: &Arc<Self>, id: &ContainerId) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        to_the_end(async move {
            let _doing = entry.doing.lock().await;
            let container = entry.container();
            let life = match &container.state {
                State::Running(life) => life.clone(),
                State::Paused(_) => {
                    let id = &container.id;
                    return Err(Error::conflict(format!("container {id} is already paused")));
                }
                State::Restarting(_) => return Err(restarting(&container)),
                _ => return Err(not_running(&container)),
            };
            entry.shim()?.pause().await.map_err(|error| {
                error.while_doing(format!("cannot pause container {}", container.id))
            })?;
            let paused = Container { state: State::Paused(life), ..(*container).clone() };
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
            let running = Container { state: State::Running(life.clone()), ..(*container).clone() };
            entry.publish(containers.save(running).await?);
            announce::announce(&containers.events, &container, "unpause");
            Ok(())
        })
        .await
    }
}
