//! Taking down all that was made for a container.

use std::time::Duration;

use super::container::{DELETE_PATIENCE, Task};
use super::leftovers::Leftovers;
use super::state::{Action, State};
use crate::error::{Error, Result};
use crate::publish::Event;
use crate::reaper::Exit;

/// How long a killed init may take to end.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

impl Task {
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
        self.init.io.complete(DELETE_PATIENCE).await;
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
}
