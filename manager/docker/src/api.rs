//! What every endpoint works on.

use std::sync::Arc;

use tare_core::engine::Engine;
use tokio::sync::watch;

/// The domain, and whether the server is about to end.
#[derive(Clone)]
pub(crate) struct Api {
    /// The domain.
    pub(crate) engine: Arc<Engine>,
    /// Tells answers without an end of their own that they must end.
    pub(crate) closing: Closing,
}

/// Becomes true when the server ends.
#[derive(Clone)]
pub(crate) struct Closing(watch::Receiver<bool>);

impl Closing {
    /// One that follows `state`.
    pub(crate) fn new(state: watch::Receiver<bool>) -> Self {
        Self(state)
    }

    /// Waits until the server ends.
    pub(crate) async fn wait(mut self) {
        // An error means that the server is gone already.
        let _ = self.0.wait_for(|closing| *closing).await;
    }
}
