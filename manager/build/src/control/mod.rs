//! BuildKit's control API, as buildx speaks it on a connection that began as HTTP.
//!
//! A client asks for a build by `Control.Solve`, with a name of its own for it, and at the same time
//! follows it by `Control.Status` and says by the services of a gateway what is to be built: the
//! three meet in [`jobs`]. What a build gave is kept in [`history`].

mod bridge;
mod cache;
mod connection;
mod content;
mod exports;
mod failure;
mod front;
mod health;
mod history;
mod identity;
mod jobs;
mod llb;
mod service;
mod session;
mod solve;
mod status;
mod trace;
mod wire;
mod worker;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::Builder;
use crate::error::{Error, Result};
use history::History;
use jobs::Jobs;

/// The API over a builder.
pub struct Control {
    builder: Arc<Builder>,
    jobs: Jobs,
    history: Arc<History>,
}

impl Control {
    /// That of `builder`, whose engine's data root has the history of earlier builds.
    ///
    /// # Errors
    /// If there can be none.
    pub fn open(builder: Arc<Builder>) -> Result<Arc<Self>> {
        let directory = builder.engine.config.data_root.join("builds/history");
        std::fs::create_dir_all(&directory)
            .map_err(|error| Error::io(format_args!("make {}", directory.display()), error))?;
        let history = Arc::new(History::new(directory, builder.settings.history));
        Ok(Arc::new(Self { builder, jobs: Jobs::default(), history }))
    }

    /// The builder.
    #[must_use]
    pub fn builder(&self) -> &Arc<Builder> {
        &self.builder
    }

    /// Serves one connection until its client closes it. Dropped, its calls end, and with them the
    /// builds that they ask for.
    pub async fn serve(self: Arc<Self>, connection: impl AsyncRead + AsyncWrite + Send + Unpin) {
        connection::serve(self, connection).await;
    }
}
