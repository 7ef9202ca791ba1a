//! What every endpoint works on.

use std::ops::Deref;
use std::sync::Arc;

use tare_build::Control;
use tare_core::engine::Engine;
use tokio::sync::watch;

use crate::build::cancel::Running;
use crate::metrics::Timers;

/// What is served, wherever a client comes from.
pub struct Served {
    /// The domain.
    pub engine: Arc<Engine>,
    /// Builds.
    pub builds: Arc<Control>,
    /// Builds that can be ended by their ids.
    pub(crate) running: Running,
    /// What `info` is to warn of, beside what the host lacks: how the API itself can be reached.
    pub warnings: Vec<String>,
    /// How long things took.
    pub(crate) timers: Timers,
}

impl Served {
    /// The domain, with what is to be warned of.
    pub fn new(engine: Arc<Engine>, builds: Arc<Control>, warnings: Vec<String>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            builds,
            running: Running::default(),
            warnings,
            timers: Timers::default(),
        })
    }
}

/// What is served, and whether the server is about to end.
#[derive(Clone)]
pub(crate) struct Api {
    /// What is served.
    pub(crate) served: Arc<Served>,
    /// Tells answers without an end of their own that they must end.
    pub(crate) closing: Closing,
}

impl Deref for Api {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.served
    }
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
