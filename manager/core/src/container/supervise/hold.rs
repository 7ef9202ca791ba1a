//! Making sure that a container which is to be ended isn't started again.

use std::sync::Arc;

use crate::container::entry::Entry;
use crate::container::record::Container;
use crate::container::state::{Exit, State};
use crate::container::{Containers, RestartPolicy};
use crate::error::Result;
use crate::shim::Shim;

/// What is to become of a container that is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) enum Wish {
    /// It stays as it is until its user starts it.
    StayDown,
    /// It is started again at once by whoever ends it. If that one dies before, what has been
    /// written down says the right thing: that it ran.
    ComeBack,
}

impl Containers {
    /// Sees to it that the end which follows is the last one. One that waits to be started again
    /// has ended when this returns.
    ///
    /// # Errors
    /// The wish could not be written down; nothing has been done about it then.
    pub(in crate::container) async fn hold(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        wish: Wish,
    ) -> Result<()> {
        let _doing = entry.doing.lock().await;
        let container = entry.container();
        if !container.state.is_running() {
            return Ok(());
        }
        let policy = container.host.restart_policy;
        if wish == Wish::StayDown && !container.stopped_by_user {
            let stopped = Container { stopped_by_user: true, ..(*container).clone() };
            // Without a policy nobody starts it; the record of its end has room for this.
            let stopped = match policy {
                RestartPolicy::No => Arc::new(stopped),
                _ => self.save(stopped).await?,
            };
            entry.publish(stopped);
        }
        match (entry.any_shim(), &container.state) {
            (Some(shim), _) if policy != RestartPolicy::No => self.hold_shim(entry, shim).await,
            (None, State::Restarting(exit)) => self.come_to_rest(entry, exit.clone()).await,
            _ => {}
        }
        Ok(())
    }

    /// Tells the shim not to start the container again.
    async fn hold_shim(self: &Arc<Self>, entry: &Arc<Entry>, shim: Shim) {
        match shim.set_restart_policy(RestartPolicy::No).await {
            // It may be on its way up, with nobody having been told yet; or it has ended by this.
            Ok(condition) => drop(self.advance(entry, &shim, condition).await),
            // Whoever ends the container needs the shim for that too, and says what to do.
            Err(error) => {
                let id = &entry.container().id;
                tracing::warn!(container = %id, %error, "tell the shim not to start it again");
            }
        }
    }

    /// Ends the wait for a start that would have been ours.
    async fn come_to_rest(self: &Arc<Self>, entry: &Entry, exit: Exit) {
        let rests = Container { state: State::Exited(exit), ..(*entry.container()).clone() };
        let rests = match self.save(rests.clone()).await {
            Ok(rests) => rests,
            Err(error) => {
                tracing::error!(container = %rests.id, %error, "record that it isn't started again");
                Arc::new(rests)
            }
        };
        entry.publish_exit(rests);
    }
}
