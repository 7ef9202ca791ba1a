//! What a container joins of others: their network stacks, process ids and shared memory.

use std::path::PathBuf;

use crate::container::Containers;
use crate::container::entry::{not_running, restarting};
use crate::container::modes::{IpcMode, NetworkMode, PidMode};
use crate::container::record::Container;
use crate::container::state::State;
use crate::error::{Error, Result};
use crate::network::Sandbox;

/// What a container joins of others.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub(super) network: Option<JoinedNetwork>,
    pub(super) pid: Option<u32>,
    pub(super) ipc: Option<u32>,
}

/// The network stack of another container. Where it is held outlives that one's process.
#[derive(Debug)]
pub(super) enum JoinedNetwork {
    Held(PathBuf),
    Host,
}

impl Containers {
    /// What the container joins of others.
    pub(super) fn joined(&self, container: &Container) -> Result<Joined> {
        let host = &container.host;
        let mut joined = Joined::default();
        if let NetworkMode::Container(other) = &host.network_mode {
            joined.network = Some(self.joined_network(other)?);
        }
        if let PidMode::Container(other) = &host.pid_mode {
            joined.pid = Some(self.joined_process(other, "PID namespace")?);
        }
        if let IpcMode::Container(other) = &host.ipc_mode {
            joined.ipc = Some(self.joined_process(other, "IPC namespace")?);
            if self.find(other)?.host.ipc_mode != IpcMode::Shareable {
                return Err(Error::conflict(format!(
                    "container {other}: non-shareable IPC (hint: use IpcMode:shareable for the \
                     donor container)"
                )));
            }
        }
        Ok(joined)
    }

    fn joined_process(&self, name: &str, what: &str) -> Result<u32> {
        let other = self.find(name)?;
        match &other.state {
            State::Running(life) | State::Paused(life) => Ok(life.pid),
            State::Restarting(_) => Err(restarting(&other)),
            _ => Err(Error::system(format!("failed to join {what}: {}", not_running(&other)))),
        }
    }

    fn joined_network(&self, name: &str) -> Result<JoinedNetwork> {
        let other = self.find(name)?;
        if !other.state.is_running() {
            return Err(Error::conflict(format!(
                "cannot join network of a non running container: {name}"
            )));
        }
        match (&other.host.network_mode, &other.network) {
            // Each can only join one that was there before it.
            (NetworkMode::Container(next), _) => self.joined_network(next),
            (_, Some(Sandbox { netns: Some(path), .. })) => Ok(JoinedNetwork::Held(path.clone())),
            (_, Some(Sandbox { netns: None, .. })) => Ok(JoinedNetwork::Host),
            (_, None) => Err(restarting(&other)),
        }
    }
}
