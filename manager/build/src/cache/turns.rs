//! One at a time: two builds that come to the same step do it once, and the second takes what the
//! first made. If that fails or is given up, the second does it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use super::key::Key;

/// Who does what now.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<Key, Arc<Lock<()>>>>>);

/// The right to do a step. Dropped, the next one has it.
pub(crate) struct Turn {
    turns: Turns,
    key: Key,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until nobody else does the step that is known by `key`.
    pub(crate) async fn wait(&self, key: Key) -> Turn {
        let lock = Arc::clone(self.lock().entry(key).or_default());
        // Given up while waiting, it leaves the lock to whoever has it.
        let mut turn = Turn { turns: self.clone(), key, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Lock<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = self.turns.lock();
        self.guard.take();
        // The map has one, and each who waits.
        if all.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::key::KeyOf;
    use super::*;

    #[tokio::test]
    async fn one_waits_for_the_other_and_nothing_is_left() {
        let turns = Turns::default();
        let (key, other) = (KeyOf::new("a").key(), KeyOf::new("b").key());
        let first = turns.wait(key).await;
        drop(turns.wait(other).await);
        let mut second = Box::pin(turns.wait(key));
        assert!(timeout(Duration::from_millis(20), &mut second).await.is_err());
        drop(first);
        let second = second.await;
        // One that was given up while it waited holds up nobody.
        assert!(timeout(Duration::from_millis(20), turns.wait(key)).await.is_err());
        drop(second);
        drop(turns.wait(key).await);
        assert!(turns.lock().is_empty());
    }
}
