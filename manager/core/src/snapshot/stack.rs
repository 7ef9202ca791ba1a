//! Which snapshots stand upon one another, some of them perhaps on their way still.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::driver::DriverName;
use crate::error::{Error, Result};

/// A snapshot: the number of its directory, and the driver that made what is in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotId {
    pub(crate) number: u64,
    pub(crate) driver: DriverName,
}

/// A layer below another one.
#[derive(Clone)]
pub(crate) enum Lower {
    /// It is unpacked.
    Here(SnapshotId),
    /// It is being unpacked, by another thread.
    Coming(Expected),
}

impl Lower {
    /// Which snapshot it is, once it is unpacked. Blocks.
    ///
    /// # Errors
    /// That of its unpacking.
    pub(super) fn wait(&self) -> Result<SnapshotId> {
        match self {
            Self::Here(id) => Ok(*id),
            Self::Coming(expected) => expected.wait(),
        }
    }
}

impl Lower {
    /// Whether it will never be there.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Coming(expected) if expected.is_broken())
    }
}

impl From<SnapshotId> for Lower {
    fn from(id: SnapshotId) -> Self {
        Self::Here(id)
    }
}

/// Says that a layer will be there: to be kept, or dropped if it comes to nothing.
pub(crate) struct Promise(Arc<Slot>);

/// What was promised, for any number of threads that need it.
#[derive(Clone)]
pub(crate) struct Expected(Arc<Slot>);

struct Slot {
    state: Mutex<State>,
    decided: Condvar,
}

#[derive(Clone, Copy)]
enum State {
    Open,
    Kept(SnapshotId),
    Broken,
}

/// A promise, and what is promised.
pub(crate) fn promise() -> (Promise, Expected) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Open), decided: Condvar::new() });
    (Promise(Arc::clone(&slot)), Expected(slot))
}

impl Promise {
    /// The layer is unpacked.
    pub(crate) fn keep(self, id: SnapshotId) {
        self.0.decide(State::Kept(id));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.decide(State::Broken);
    }
}

impl Expected {
    /// Whether the promise was broken.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(*self.0.lock(), State::Broken)
    }

    /// Which snapshot the layer has become. Blocks until that is known.
    ///
    /// # Errors
    /// If it will never be there; why, whoever promised it has to tell.
    pub(crate) fn wait(&self) -> Result<SnapshotId> {
        let mut state = self.0.lock();
        loop {
            match *state {
                State::Open => {
                    state = self.0.decided.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                State::Kept(id) => return Ok(id),
                State::Broken => {
                    return Err(Error::system("a layer below it could not be unpacked"));
                }
            }
        }
    }
}

impl Slot {
    /// The first decision counts.
    fn decide(&self, decision: State) {
        let mut state = self.lock();
        if matches!(*state, State::Open) {
            *state = decision;
            self.decided.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_learns_what_became_of_it() {
        let id = SnapshotId { number: 7, driver: DriverName::Overlay };
        let (promise, expected) = promise();
        let waiting = std::thread::spawn({
            let lower = Lower::Coming(expected.clone());
            move || lower.wait()
        });
        promise.keep(id);
        assert_eq!(waiting.join().unwrap().unwrap(), id);
        assert_eq!(expected.wait().unwrap(), id);
    }

    #[test]
    fn a_broken_promise_is_an_error() {
        let (promise, expected) = promise();
        let waiting = std::thread::spawn(move || expected.wait());
        drop(promise);
        assert!(waiting.join().unwrap().is_err());
    }
}
