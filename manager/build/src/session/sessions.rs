//! Which sessions there are.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tare_core::Kind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::connection::{self, Link};
use super::health::{self, Patience};
use crate::error::{Error, Result};

/// All sessions that are open. A copy is the same ones.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// By id; none: its place is taken, and its connection is being opened.
    places: Mutex<HashMap<String, Option<Session>>>,
    changed: watch::Sender<()>,
}

/// How a client introduces its session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introduction {
    /// What builds call it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The same for sessions that have the same directories to send.
    pub shared_key: String,
    /// What it serves: `/package.Service/Method` each.
    pub methods: Vec<String>,
}

/// A session with a place, and without a connection yet. Dropped, the place is free.
pub struct Admitted {
    sessions: Sessions,
    introduction: Introduction,
}

/// What a client has. A copy is the same session.
#[derive(Clone)]
pub struct Session(Arc<Open>);

struct Open {
    id: String,
    name: String,
    shared_key: String,
    methods: HashSet<String>,
    link: Link,
    /// Closed when it is lost.
    lost: watch::Receiver<()>,
}

impl Sessions {
    /// Gives a session its place.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if there is one with that id, [`Kind::Invalid`] if it has none.
    pub fn admit(&self, introduction: Introduction) -> Result<Admitted> {
        if introduction.id.is_empty() {
            return Err(Error::invalid("a session needs an id: X-Docker-Expose-Session-Uuid"));
        }
        let mut places = self.places();
        if places.contains_key(&introduction.id) {
            let taken = format!("session {} already exists", introduction.id);
            return Err(Error::new(Kind::Conflict, taken));
        }
        places.insert(introduction.id.clone(), None);
        drop(places);
        Ok(Admitted { sessions: self.clone(), introduction })
    }

    /// The session `id`, as soon as there is one. What stands before a colon doesn't count.
    pub async fn find(&self, id: &str) -> Session {
        let id = match id.split_once(':') {
            Some((_, id)) if !id.is_empty() => id,
            _ => id,
        };
        let mut changed = self.0.changed.subscribe();
        loop {
            if let Some(Some(session)) = self.places().get(id) {
                return session.clone();
            }
            // It can't fail: the sender is ours.
            let _ = changed.changed().await;
        }
    }

    /// The session `id`, if there is one within `limit`.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if there isn't.
    pub async fn find_within(&self, id: &str, limit: Duration) -> Result<Session> {
        tokio::time::timeout(limit, self.find(id)).await.map_err(|_| {
            let missing = format!("no active session for {id}: context deadline exceeded");
            Error::new(Kind::Unavailable, missing)
        })
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, Option<Session>>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// Serves the session over `io`, on which nothing but its protocol comes from now on. Ends with
    /// the session: when the connection ends, or the client isn't well. Dropped, the session is lost.
    pub async fn serve(self, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        self.serve_patiently(io, Patience::default()).await;
    }

    pub(super) async fn serve_patiently(
        self,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        patience: Patience,
    ) {
        let (link, connection) = match connection::open(io).await {
            Ok(open) => open,
            Err(error) => {
                tracing::debug!("open the connection of session {}: {error}", self.introduction.id);
                return;
            }
        };
        // It goes when this does: whoever waits for that is woken last.
        let (_until_lost, lost) = watch::channel(());
        let Introduction { id, name, shared_key, methods } = self.introduction.clone();
        let methods = methods.into_iter().map(|method| method.to_lowercase()).collect();
        let session =
            Session(Arc::new(Open { id, name, shared_key, methods, link: link.clone(), lost }));
        self.sessions.places().insert(self.introduction.id.clone(), Some(session));
        self.sessions.0.changed.send_replace(());
        tokio::select! {
            () = connection => {}
            () = health::watch(&link, patience) => {}
        }
        drop(self);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.sessions.places().remove(&self.introduction.id);
        self.sessions.0.changed.send_replace(());
    }
}

impl Session {
    /// What builds call it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The same for sessions that have the same directories to send.
    #[must_use]
    pub fn shared_key(&self) -> &str {
        &self.0.shared_key
    }

    /// Whether the client serves `method`, such as `/moby.filesync.v1.FileSync/DiffCopy`.
    #[must_use]
    pub fn offers(&self, method: &str) -> bool {
        self.0.methods.contains(&method.to_lowercase())
    }

    /// Waits until it is lost.
    pub async fn lost(&self) {
        let mut lost = self.0.lost.clone();
        while lost.changed().await.is_ok() {}
    }

    pub(super) fn is_lost(&self) -> bool {
        self.0.lost.has_changed().is_err()
    }

    pub(super) fn link(&self) -> Link {
        self.0.link.clone()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.0.id).finish_non_exhaustive()
    }
}
