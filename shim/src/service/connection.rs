//! Whether a client that vanished was let go by its manager, or went down with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A connection that calls come over, put into each call's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection {
    lost: Arc<AtomicBool>,
}

impl Connection {
    /// It has ended.
    pub(crate) fn set_lost(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Whether it has ended.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}
