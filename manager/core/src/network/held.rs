//! A container's sandbox on the books.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::endpoint::Sandbox;

/// What a container has, and who works on it.
pub(super) struct Held {
    pub(super) container: String,
    sandbox: RwLock<Arc<Sandbox>>,
    /// Whether it has ended for everybody but the kernel.
    cut_off: AtomicBool,
    /// Held by who changes it or takes it away.
    turn: Mutex<()>,
    /// What holds ports that were published after the container had started.
    reservations: Mutex<Vec<OwnedFd>>,
}

impl Held {
    pub(super) fn new(sandbox: Sandbox) -> Self {
        Self {
            container: sandbox.container.clone(),
            sandbox: RwLock::new(Arc::new(sandbox)),
            cut_off: AtomicBool::new(false),
            turn: Mutex::new(()),
            reservations: Mutex::default(),
        }
    }

    /// What the container has now.
    pub(super) fn sandbox(&self) -> Arc<Sandbox> {
        Arc::clone(&self.sandbox.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says what the container has from now on.
    pub(super) fn replace(&self, sandbox: Sandbox) {
        *self.sandbox.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sandbox);
    }

    /// Waits for its turn.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds these sockets until the container has nothing more.
    pub(super) fn hold(&self, sockets: Vec<OwnedFd>) {
        self.reservations.lock().unwrap_or_else(PoisonError::into_inner).extend(sockets);
    }

    /// Notes that it has ended for others; returns whether that was so before.
    pub(super) fn set_cut_off(&self) -> bool {
        self.cut_off.swap(true, Ordering::AcqRel)
    }

    /// Whether it has ended for others.
    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }

    /// Lets go of what it holds.
    pub(super) fn let_go(&self) {
        self.reservations.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
