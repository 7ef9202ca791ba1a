//! Ends that could not be recorded, as on a full disk: whoever waits is told at once, and the
//! record is tried again until it is written.

use std::sync::Arc;
use std::time::Duration;

use super::Containers;
use super::id::ContainerId;

/// How long between two attempts.
const PAUSE: Duration = Duration::from_secs(2);

impl Containers {
    /// Records a container as it is by then, as soon as that can be done.
    pub(super) fn save_later(self: &Arc<Self>, id: ContainerId) {
        let containers = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                // It may have been removed; and nobody changes it while it is held.
                let Ok(entry) = containers.index.get(&id) else { return };
                let _doing = entry.doing.lock().await;
                if containers.index.get(&id).is_err() {
                    return;
                }
                match containers.save((*entry.container()).clone()).await {
                    Ok(_) => {
                        tracing::info!(container = %id, "its end is on record now");
                        return;
                    }
                    Err(error) => tracing::debug!(container = %id, %error, "record the exit"),
                }
            }
        });
    }
}
