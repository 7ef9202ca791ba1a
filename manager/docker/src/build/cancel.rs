//! `POST /build/cancel`: ends a build that was begun with an id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use tokio::sync::watch;

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;

pub(super) async fn handle(State(api): State<Api>, query: Query) -> Result<StatusCode> {
    let id = query.text("id").ok_or_else(|| Error::invalid("build ID not provided"))?;
    api.running.cancel(id);
    Ok(StatusCode::OK)
}

/// The builds that can be ended.
#[derive(Debug, Default, Clone)]
pub(crate) struct Running(Arc<Mutex<HashMap<String, watch::Sender<bool>>>>);

/// A build that goes on. Dropped, it has ended.
#[derive(Debug)]
pub(crate) struct Cancelled {
    running: Running,
    id: String,
    asked: watch::Receiver<bool>,
}

impl Running {
    /// A build begins.
    pub(crate) fn begin(&self, id: &str) -> Cancelled {
        let (ask, asked) = watch::channel(false);
        self.lock().insert(id.to_owned(), ask);
        Cancelled { running: self.clone(), id: id.to_owned(), asked }
    }

    /// A build is to end; it is no error if there is none.
    fn cancel(&self, id: &str) {
        if let Some(ask) = self.lock().get(id) {
            ask.send_replace(true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<bool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cancelled {
    /// Waits until it is to end.
    pub(crate) async fn wait(&self) {
        let mut asked = self.asked.clone();
        // Another build that took the id has taken this one's place, and nobody can ask any more.
        if asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        let is_own = |ask: &watch::Sender<bool>| ask.subscribe().same_channel(&self.asked);
        if running.get(&self.id).is_some_and(is_own) {
            running.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_build_that_is_meant_ends() {
        let running = Running::default();
        let (one, other) = (running.begin("one"), running.begin("other"));
        running.cancel("one");
        running.cancel("none");
        one.wait().await;
        assert!(!*other.asked.borrow());
        drop(one);
        assert!(running.lock().get("one").is_none() && running.lock().contains_key("other"));
        let again = running.begin("other");
        drop(other);
        running.cancel("other");
        again.wait().await;
    }
}
