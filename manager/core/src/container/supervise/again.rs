//! Starting containers again where their shims can't.

use std::sync::Arc;
use std::time::Duration;

use crate::container::entry::{Entry, lock};
use crate::container::modes::{IpcMode, NetworkMode, PidMode};
use crate::container::record::Container;
use crate::container::state::{Exit, State};
use crate::container::{Containers, start::Start};

/// How long the start of one container waits for another's on which it depends.
const PATIENCE: Duration = Duration::from_secs(10);

impl Containers {
    /// Starts a container again later, which its caller has published as one that waits for that.
    /// It has no shim. What was to run when this manager came is started at once.
    pub(in crate::container) fn start_again_later(self: &Arc<Self>, entry: &Arc<Entry>) {
        let container = entry.container();
        let State::Restarting(exit) = container.state.clone() else { return };
        let wait = if *self.taken_over.borrow() {
            let ran = exit.finished_at.duration_since(exit.started_at);
            lock(&entry.backoff).next(ran.try_into().unwrap_or_default())
        } else {
            Duration::ZERO
        };
        let (containers, entry) = (Arc::clone(self), Arc::clone(entry));
        tokio::spawn(async move {
            containers.until_taken_over().await;
            tokio::time::sleep(wait).await;
            containers.wait_for_joined(&container).await;
            containers.start_again(&entry, &exit).await;
        });
    }

    async fn start_again(self: &Arc<Self>, entry: &Arc<Entry>, exit: &Exit) {
        let _doing = entry.doing.lock().await;
        // Its user may have stopped it meanwhile, or have started it, or taken it away.
        let waits = matches!(&entry.container().state, State::Restarting(now) if now == exit);
        if !waits || entry.any_shim().is_some() {
            return;
        }
        // It has been logged, and if there is to be another attempt, that is under way.
        let _ = self.start_locked(entry, Start::ByPolicy).await;
    }

    /// Waits until nothing more is swept away of what doesn't seem to belong to anything.
    async fn until_taken_over(&self) {
        // It ends with an error only if all is over.
        let _ = self.taken_over.subscribe().wait_for(|done| *done).await;
    }

    /// Waits until those whose namespaces a container joins aren't about to be started themselves.
    /// It can be started only after them.
    async fn wait_for_joined(&self, container: &Container) {
        let host = &container.host;
        let joined = [
            if let NetworkMode::Container(other) = &host.network_mode { Some(other) } else { None },
            if let PidMode::Container(other) = &host.pid_mode { Some(other) } else { None },
            if let IpcMode::Container(other) = &host.ipc_mode { Some(other) } else { None },
        ];
        let others = joined.into_iter().flatten().filter_map(|name| self.index.find(name).ok());
        let all = async {
            for other in others {
                other.until(|other| !matches!(other.state, State::Restarting(_))).await;
            }
        };
        // The start itself says what is wrong with one that doesn't come.
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }
}
