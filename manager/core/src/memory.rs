//! Gives memory back after something was done: what a thousand requests took at once, none that comes
//! later may need.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::linux;

/// Something was done that took memory.
static DONE: Notify = Notify::const_new();
/// What follows within such a time may use the same memory again.
const QUIET: Duration = Duration::from_secs(2);

/// Something was done that took memory, which may be free now.
pub fn is_spare() {
    DONE.notify_one();
}

/// Gives memory back each time that nothing is done any more. While nothing is done, it sleeps.
pub async fn give_back() {
    loop {
        DONE.notified().await;
        while timeout(QUIET, DONE.notified()).await.is_ok() {}
        // It looks through all that is free.
        let _ = tokio::task::spawn_blocking(linux::give_back_memory).await;
    }
}
