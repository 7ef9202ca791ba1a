//! Taking down all that was made for a container.

use super::container::{DELETE_PATIENCE, KILL_PATIENCE, Task};
use super::leftovers::Leftovers;
use super::restart::RestartPolicy;
use super::state::Action;
use crate::error::{Error, Result};
use crate::publish::Event;
use crate::reaper::Exit;

impl Task {
    /// Takes down all that was made for the container, past any step that fails; the errors of all
    /// such steps are told together. A restart that is waited for is called off. Returns the last
    /// init's pid and end.
    pub(crate) async fn delete(&self) -> Result<(u32, Exit)> {
        if self.is_waiting() {
            // One that is being made is given up at its next step.
            self.set_restart_policy(RestartPolicy::Never)?;
        }
        let _making = self.making.lock().await;
        let run = self.run();
        self.give_up_restore(&run).await?;
        run.init.state().allow(Action::Delete)?;
        self.set_restart_policy(RestartPolicy::Never)?;
        let mut errors = Vec::new();
        // A created container's init still waits to be let go.
        let force = run.is_created();
        let launch = self.blueprint.launch();
        if let Err(error) = self.blueprint.runtime.delete_if_there(&launch, force).await {
            errors.push(error);
        }
        let Ok(exit) = tokio::time::timeout(KILL_PATIENCE, run.init.wait()).await else {
            return Err(errors.pop().unwrap_or_else(|| {
                Error::unknown(format!("container {}: its init doesn't end", self.id))
            }));
        };
        run.init.io.complete(DELETE_PATIENCE).await;
        run.close();
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
        self.situation.send_replace(None);
        let (pid, exit) = (run.init.state().pid(), exit?);
        self.publish(Event::Delete { container_id: self.id.clone(), pid, exit });
        Ok((pid, exit))
    }
}
