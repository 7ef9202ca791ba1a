//! Gives memory back after something was done: a shim mostly does nothing, for a very long time, and
//! there are as many shims as containers.

use std::time::Duration;

use tokio::sync::Notify;

use crate::linux;

/// Something was done that took memory.
static DONE: Notify = Notify::const_new();
/// What follows within such a time may use the same memory again: the next call of a series, say.
const PAUSE: Duration = Duration::from_secs(1);

/// Something was done that took memory, which may be free now.
pub(crate) fn is_spare() {
    DONE.notify_one();
}

/// Gives memory back a while after each time that something was done. That is one wake-up for each;
/// while nothing is done there is none.
pub(crate) async fn give_back() {
    loop {
        DONE.notified().await;
        tokio::time::sleep(PAUSE).await;
        linux::give_back_memory();
    }
}
