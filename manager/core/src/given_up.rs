//! Work in a thread for someone who may go away: he cannot stop the thread, but tell it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether nobody waits for some work any more; whoever does it looks now and then.
#[derive(Debug, Clone, Default)]
pub(crate) struct GivenUp(Arc<AtomicBool>);

/// Gives work up when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct GiveUp(GivenUp);

impl GivenUp {
    /// Whether it is so.
    pub(crate) fn is_true(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl GiveUp {
    /// What becomes true then.
    pub(crate) fn watched(&self) -> GivenUp {
        self.0.clone()
    }
}

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
